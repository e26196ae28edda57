"""The CRM's member service: a UsernameToken with every call, refusals in its own result codes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from canonical_model.errors import LimitError, RejectedError, TransientError
from canonical_model.ports import SystemConfig
from connectors.kit.soap import SoapClient

WSDL: Final = Path(__file__).parent / "wsdl" / "crm.wsdl"
SERVICE: Final = "/services/MemberService"
PAGE_SIZE: Final = 500
MAX_PAGES: Final = 10_000

_OK: Final = "0"
_BUSY: Final = frozenset({"E900", "E901"})


class CrmClient:
    """One CRM. Thread-safe. Raises what connectors.kit.soap raises, and by result code: TransientError (the CRM is
    busy), RejectedError (it says no, in a 200)."""

    def __init__(self, config: SystemConfig, *, timeout_s: float) -> None:
        self._soap = SoapClient(
            WSDL,
            address=config.settings["base_url"].rstrip("/") + SERVICE,
            timeout_s=timeout_s,
            token=(config.settings["user"], config.secrets["password"]),
        )

    def query(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One page of a query: the answer's parts; ``pageSize`` is ours to choose, the CRM may send fewer."""
        given = {name: value for name, value in arguments.items() if value is not None}
        answer: dict[str, Any] = self._soap.read(operation, pageSize=PAGE_SIZE, **given)
        code = answer.get("resultCode")
        if code == _OK:
            return answer
        said = f"the CRM answered {operation} with {code}: {(answer.get('resultMsg') or 'no words')[:200]}"
        if code in _BUSY:
            raise TransientError(f"{said}; ask again later", code="crm.busy")
        raise RejectedError(f"{said}; correct the request", code="crm.refused")

    def rows(self, operation: str, rows: str) -> Iterator[dict[str, Any]]:
        """Every row of a query, over its pages. LimitError after MAX_PAGES."""
        token: str | None = None
        for _ in range(MAX_PAGES):
            answer = self.query(operation, pageToken=token)
            yield from map(present, answer.get(rows) or ())
            token = answer.get("nextPageToken")
            if token is None:
                return
        raise LimitError(f"{operation} has more than {MAX_PAGES} pages; ask the CRM for larger ones", code="crm.pages")


def present(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the elements that were left out."""
    return {name: value for name, value in row.items() if value is not None}
