"""The voucher supplier's order service: a UsernameToken with every call, refusals in its own result codes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from canonical_model.errors import HubError, LimitError, NotFoundError, RejectedError, TransientError, UncertainError
from canonical_model.ports import SystemConfig
from connectors.kit.soap import SoapClient

WSDL: Final = Path(__file__).parent / "wsdl" / "cardco.wsdl"
SERVICE: Final = "/services/CardService"
OK: Final = "0000"
PAGE_SIZE: Final = 200
MAX_PAGES: Final = 10_000

_BUSY: Final = frozenset({"9001"})
_REFUSALS: Final[Mapping[str, tuple[type[RejectedError], str, str]]] = {
    "2001": (RejectedError, "supplier.unknown_goods", "correct the goods' number or take them off the shelf"),
    "2002": (RejectedError, "supplier.out_of_stock", "offer other goods"),
    "2003": (RejectedError, "supplier.price_changed", "show the member the present price"),
    "3001": (NotFoundError, "supplier.unknown_order", "check the supplier's number and whose order it is"),
    "3002": (RejectedError, "supplier.lapsed", "reserve again"),
    "3003": (RejectedError, "supplier.shipped", "what was delivered cannot be taken back"),
    "3004": (RejectedError, "supplier.cancelled", "reserve again"),
}


class CardcoClient:
    """Calls one supplier; thread-safe. Raises what connectors.kit.soap raises, and by result code: TransientError
    (the supplier is busy and did nothing), RejectedError (it says no, in a 200)."""

    def __init__(self, config: SystemConfig, *, timeout_s: float) -> None:
        self._soap = SoapClient(
            WSDL,
            address=config.settings["base_url"].rstrip("/") + SERVICE,
            timeout_s=timeout_s,
            token=(config.settings["user"], config.secrets["password"]),
        )

    def send(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call once what changes something there; the order that the answer tells of."""
        answer: dict[str, Any] = self._soap.send(operation, **arguments)
        _raise_refusal(operation, answer)
        if not answer.get("order"):
            raise UncertainError(
                f"the supplier took {operation} and named no order; look for it", code="supplier.answer", over=True
            )
        return dict(answer["order"])

    def rows(self, operation: str, rows: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Every row of a query, over its pages. LimitError after MAX_PAGES."""
        given, token = {"pageSize": PAGE_SIZE, **arguments}, None
        for _ in range(MAX_PAGES):
            page = given if token is None else {**given, "pageToken": token}
            answer: dict[str, Any] = self._soap.read(operation, **page)
            _raise_refusal(operation, answer)
            yield from answer.get(rows) or ()
            token = answer.get("nextPageToken")
            if token is None:
                return
        raise LimitError(f"{operation} has more than {MAX_PAGES} pages; ask the supplier for larger ones")


def _raise_refusal(operation: str, answer: Mapping[str, Any]) -> None:
    if answer.get("resultCode") != OK:
        raise _refusal(operation, answer)


def _refusal(operation: str, answer: Mapping[str, Any]) -> HubError:
    code = answer.get("resultCode")
    said = f"the supplier answered {operation} with {code}: {(answer.get('resultMsg') or 'no words')[:200]}"
    if code in _BUSY:
        return TransientError(f"{said}; ask again later", code="supplier.busy")
    unknown = (RejectedError, "supplier.refused", "ask the supplier what it means")
    kind, ours, advice = _REFUSALS.get(str(code), unknown)
    place = {"sku": str(answer["goodsCode"])} if answer.get("goodsCode") else {}
    return kind(f"{said}; {advice}", code=ours, **place)
