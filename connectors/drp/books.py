"""What the DRP's own books say, read by SQL: the other side of a reconciliation."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from canonical_model.ports import SystemConfig
from connectors.kit import odbc

TIMEOUT_S: Final = 60.0


class DrpBooks:
    """Reads every row in the DRP's own column names. Raises TransientError, ConfigurationError, RejectedError."""

    def __init__(self, config: SystemConfig) -> None:
        self._connection = config.secrets["connection"]
        self._dialect = config.settings["dialect"]

    def stock(self) -> Iterator[dict[str, Any]]:
        """``STORE_CODE, SKU_CODE, STOCK_TYPE, QTY, UNIT`` of every shelf; QTY is text such as "37.000"."""
        return self._all(
            "SELECT RTRIM(STORE_CODE) AS STORE_CODE, RTRIM(SKU_CODE) AS SKU_CODE, STOCK_TYPE, QTY, UNIT"
            " FROM T_STORE_STOCK ORDER BY STOCK_ID"
        )

    def transfers(self) -> Iterator[dict[str, Any]]:
        """``BILL_NO, FROM_CODE, TO_CODE, STATUS`` of every transfer."""
        return self._all(
            "SELECT RTRIM(BILL_NO) AS BILL_NO, RTRIM(FROM_CODE) AS FROM_CODE, RTRIM(TO_CODE) AS TO_CODE, STATUS"
            " FROM T_TRANSFER ORDER BY TRANSFER_ID"
        )

    def places(self) -> Iterator[str]:
        """The code of every store and warehouse."""
        both = "SELECT RTRIM(STORE_CODE) AS CODE FROM T_STORE UNION ALL SELECT RTRIM(WH_CODE) FROM T_WAREHOUSE"
        return (row["CODE"] for row in self._all(f"{both} ORDER BY 1"))

    def _all(self, sql: str) -> Iterator[dict[str, Any]]:
        with closing(odbc.open_session(self._connection, self._dialect, TIMEOUT_S)) as connection:
            for row in odbc.rows(connection, sql):
                yield {name.upper(): value for name, value in row.items()}
