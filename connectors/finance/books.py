"""What the finance company's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator
from typing import Any, Final

from canonical_model.ports import SystemConfig
from connectors.finance.client import ACCOUNTS, STATEMENT, FinanceClient

PAGE_SIZE: Final = 200
TIMEOUT_S: Final = 10.0


class FinanceBooks:
    """Reads every row, page by page, in the company's own words. Raises TransientError, ConfigurationError."""

    def __init__(self, config: SystemConfig) -> None:
        self._client = FinanceClient(config, timeout_s=TIMEOUT_S)

    def movements(self) -> Iterator[dict[str, Any]]:
        """``serialNo, requestNo, bizNo, direction, source, accountNo, planCode, points, balance, tradeDate`` of every
        movement; ``source`` is PARTNER where we wrote it."""
        return self._all(STATEMENT)

    def accounts(self) -> Iterator[dict[str, Any]]:
        """``accountNo, state, balance`` of every account."""
        return self._all(ACCOUNTS)

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            page = self._client.call(path, {"after": after, "pageSize": PAGE_SIZE})
            yield from page["rows"]
            if page["nextAfter"] is None:
                return
            after = page["nextAfter"]
