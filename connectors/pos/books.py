"""What the till system's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator
from typing import Any, Final

from canonical_model.ports import SystemConfig
from connectors.kit.http import json_object
from connectors.pos.writers import http_client

PAGE_SIZE: Final = 200
TIMEOUT_S: Final = 10.0


class PosBooks:
    """Reads every row, page by page, in the till's own words. Raises TransientError, RejectedError."""

    def __init__(self, config: SystemConfig) -> None:
        self._http = http_client(config, timeout_s=TIMEOUT_S)

    def sales(self) -> Iterator[dict[str, Any]]:
        """Every sale as it was pushed."""
        return self._all("/sales")

    def returns(self) -> Iterator[dict[str, Any]]:
        """Every return as it was pushed."""
        return self._all("/returns")

    def stock(self) -> Iterator[dict[str, Any]]:
        """``shopCode, goodsCode, stockType, qty`` of everything on a shelf."""
        return self._all("/stock")

    def statuses(self) -> Iterator[dict[str, Any]]:
        """Every order status the hub sent, with its ``key``."""
        return self._all("/statuses")

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        after = 0
        while True:
            answer = self._http.read("GET", path, params={"after": after, "limit": PAGE_SIZE})
            page = json_object(answer, write=False)
            yield from page["data"]
            if page["next"] is None:
                return
            after = page["next"]
