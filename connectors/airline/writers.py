"""Miles into a member's account, and out of it. The airline posts a second copy too: ``find`` must ask first."""

from collections.abc import Mapping
from typing import Any, Final

from canonical_model.errors import TransientError, UncertainError
from canonical_model.ports import Manifest, Receipt, Record, SystemConfig, Writer
from connectors.airline.client import CREDITS, DEBITS, TRANSACTIONS, AirlineClient, Tokens
from connectors.kit.references import plain_reference

REFERENCE_LENGTH: Final = 64
CREDIT: Final = "CREDIT"
DEBIT: Final = "DEBIT"

_MAX_FOUND: Final = 50


def writers(config: SystemConfig, manifest: Manifest) -> dict[str, Writer]:
    """The writers of one airline."""
    tokens = Tokens(config)
    clients = {spec.name: AirlineClient(config, timeout_s=spec.timeout_s, tokens=tokens) for spec in manifest.writers}
    return {
        "credit": MilesWriter(clients["credit"], CREDITS, CREDIT),
        "debit": MilesWriter(clients["debit"], DEBITS, DEBIT),
    }


class MilesWriter:
    """Writes to ``path``; what it wrote is of ``kind`` in the airline's books."""

    def __init__(self, client: AirlineClient, path: str, kind: str) -> None:
        self._client = client
        self._path = path
        self._kind = kind

    def write(self, key: str, body: Record) -> Receipt:
        """Post the miles. RejectedError ``provider.unknown_account``, ``.closed_account``, ``.wrong_name``, ``.limit``,
        ``.insufficient``, ``.invalid_points``, ``.unknown_programme``. The receipt says ``points`` and ``balance``."""
        reference = plain_reference(key, REFERENCE_LENGTH)
        answer = self._client.post(self._path, {**body, "partnerReference": reference})
        receipt = _receipt(answer)
        if receipt is None or answer.get("partnerReference") != reference or answer.get("miles") != body.get("miles"):
            raise UncertainError(
                f"{self._path}: the airline's answer does not say that {reference} landed; look for it",
                code="airline.answer",
                over=True,
            )
        return receipt

    def find(self, key: str) -> Receipt | None:
        """The first transaction of this kind with the key's reference; ``duplicates`` names any others."""
        reference = plain_reference(key, REFERENCE_LENGTH)
        query = {"partnerReference": reference, "type": self._kind, "limit": _MAX_FOUND}
        rows = self._client.get(TRANSACTIONS, query).get("transactions")
        receipts = [_receipt(row) for row in rows] if isinstance(rows, list) else [None]
        known = [receipt for receipt in receipts if receipt is not None]
        if len(known) != len(receipts):
            raise TransientError(
                f"{TRANSACTIONS}: the airline's answer about {reference} cannot be read; ask again",
                code="airline.answer",
            )
        if not known:
            return None
        others = [receipt.outside_id for receipt in known[1:]]
        return Receipt(known[0].outside_id, {**known[0].detail, **({"duplicates": others} if others else {})})


def _receipt(transaction: Any) -> Receipt | None:
    """The receipt of a transaction, if it is whole."""
    if not isinstance(transaction, Mapping):
        return None
    number, miles, balance = (transaction.get(name) for name in ("transactionNumber", "miles", "balance"))
    if not isinstance(number, str) or not number or type(miles) is not int or type(balance) is not int:
        return None
    return Receipt(number, {"points": miles, "balance": balance})
