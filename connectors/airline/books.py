"""What the airline's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator
from typing import Any, Final

from canonical_model.ports import SystemConfig
from connectors.airline.client import ACCOUNTS, TRANSACTIONS, AirlineClient, Tokens

PAGE_SIZE: Final = 200
TIMEOUT_S: Final = 10.0


class AirlineBooks:
    """Reads every row, page by page, in the airline's own words. Raises TransientError, ConfigurationError."""

    def __init__(self, config: SystemConfig) -> None:
        self._client = AirlineClient(config, timeout_s=TIMEOUT_S, tokens=Tokens(config))

    def transactions(self) -> Iterator[dict[str, Any]]:
        """``transactionNumber, partnerReference, documentNumber, type, origin, accountNumber, programmeCode, miles,
        balance, activityDate`` of every movement; ``origin`` is PARTNER where we wrote it."""
        return self._all(TRANSACTIONS, "transactions")

    def accounts(self) -> Iterator[dict[str, Any]]:
        """``accountNumber, state, balance`` of every account."""
        return self._all(ACCOUNTS, "accounts")

    def _all(self, path: str, rows: str) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            page = self._client.get(path, {"after": after, "limit": PAGE_SIZE})
            yield from page[rows]
            if page["next"] is None:
                return
            after = page["next"]
