"""Points into a customer's account, and out of it. The company keeps every ``requestNo`` and its answer."""

from collections.abc import Mapping
from typing import Any, Final

from canonical_model.errors import NotFoundError, TransientError, UncertainError
from canonical_model.ports import Manifest, Receipt, Record, SystemConfig, Writer
from connectors.finance.client import CREDIT, DEBIT, QUERY, FinanceClient
from connectors.kit.references import plain_reference

REQUEST_NO_LENGTH: Final = 64
IN: Final = "IN"
OUT: Final = "OUT"


def writers(config: SystemConfig, manifest: Manifest) -> dict[str, Writer]:
    """The writers of one finance company."""
    clients = {spec.name: FinanceClient(config, timeout_s=spec.timeout_s) for spec in manifest.writers}
    return {"credit": PointsWriter(clients["credit"], CREDIT, IN), "debit": PointsWriter(clients["debit"], DEBIT, OUT)}


class PointsWriter:
    """Writes to ``path``; what it wrote goes in ``direction`` in the company's books."""

    def __init__(self, client: FinanceClient, path: str, direction: str) -> None:
        self._client = client
        self._path = path
        self._direction = direction

    def write(self, key: str, body: Record) -> Receipt:
        """Book the points; the same key again gets the same receipt. RejectedError ``provider.unknown_account``,
        ``.closed_account``, ``.limit``, ``.insufficient``, ``.invalid_points``, ``.unknown_programme``; ConflictError
        ``provider.conflict`` when the key came before with something else. The receipt says ``points`` and ``balance``.
        """
        number = plain_reference(key, REQUEST_NO_LENGTH)
        data = self._client.call(self._path, {**body, "requestNo": number})
        receipt = self._receipt(data, number)
        if receipt is None or receipt.detail["points"] != body.get("points"):
            raise UncertainError(
                f"{self._path}: the answer does not say that {number} was booked; ask again", code="finance.answer"
            )
        return receipt

    def find(self, key: str) -> Receipt | None:
        """Asks for the movement of the key."""
        number = plain_reference(key, REQUEST_NO_LENGTH)
        try:
            data = self._client.call(QUERY, {"requestNo": number})
        except NotFoundError:
            return None
        if data.get("direction") in {IN, OUT} - {self._direction}:
            return None
        receipt = self._receipt(data, number)
        if receipt is None:
            raise TransientError(f"{QUERY}: the answer about {number} cannot be read; ask again", code="finance.answer")
        return receipt

    def _receipt(self, data: Mapping[str, Any], number: str) -> Receipt | None:
        """The receipt, if ``data`` is a whole movement of that number in our direction."""
        serial, points, balance = (data.get(name) for name in ("serialNo", "points", "balance"))
        if data.get("requestNo") != number or data.get("direction") != self._direction:
            return None
        if not isinstance(serial, str) or not serial or type(points) is not int or type(balance) is not int:
            return None
        return Receipt(serial, {"points": points, "balance": balance})
