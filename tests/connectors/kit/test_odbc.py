"""Outside databases: a missing driver is named with its package, a secret never."""

from pathlib import Path

import pytest

from canonical_model.errors import ConfigurationError, RejectedError, TransientError
from connectors.kit import odbc

pyodbc = pytest.importorskip(
    "pyodbc", exc_type=ImportError, reason="unixODBC is not installed; make setup as root installs it"
)


@pytest.fixture
def sqlite_dsn(tmp_path: Path) -> str:
    if "SQLite3" not in pyodbc.drivers():
        pytest.skip("libsqliteodbc is not installed")
    return f"DRIVER=SQLite3;Database={tmp_path / 'stock.db'}"


@pytest.mark.parametrize(
    ("driver", "remedy"),
    [
        ("{PostgreSQL Nowhere}", "apt-get install odbc-postgresql"),
        ("{MariaDB Nowhere}", "apt-get install odbc-mariadb"),
        ("SQLite Nowhere", "apt-get install libsqliteodbc"),
        ("{FreeTDS Nowhere}", "apt-get install tdsodbc"),
        ("{Oracle Nowhere}", "correct the connection string"),
    ],
)
def test_a_missing_driver_is_named_with_its_package(driver: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        odbc.connect(f"DRIVER={driver};Server=db;UID=reader;PWD=s3cret", timeout_s=1)
    assert "s3cret" not in str(caught.value)


def test_a_data_source_nobody_set_up_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(ConfigurationError):
        odbc.connect("DSN=nowhere", timeout_s=1)


def test_a_database_that_is_away_is_tried_later() -> None:
    if "PostgreSQL Unicode" not in pyodbc.drivers():
        pytest.skip("odbc-postgresql is not installed")
    dsn = "DRIVER={PostgreSQL Unicode};Server=127.0.0.1;Port=9;Database=x;UID=reader;PWD=s3cret"
    with pytest.raises(TransientError) as caught:
        odbc.connect(dsn, timeout_s=1)
    assert "s3cret" not in str(caught.value)


def test_rows_come_as_dicts_in_order(sqlite_dsn: str) -> None:
    connection = odbc.connect(sqlite_dsn, timeout_s=5)
    connection.execute("CREATE TABLE stock (sku TEXT, quantity INTEGER)")
    connection.execute("INSERT INTO stock VALUES ('0012', 1), ('0013', 2), ('0014', 3)")
    rows = odbc.rows(connection, "SELECT sku, quantity FROM stock WHERE quantity > ? ORDER BY sku", (1,), batch=1)
    assert list(rows) == [{"sku": "0013", "quantity": 2}, {"sku": "0014", "quantity": 3}]


def test_values_are_bound_and_never_part_of_the_statement(sqlite_dsn: str) -> None:
    connection = odbc.connect(sqlite_dsn, timeout_s=5)
    assert list(odbc.rows(connection, "SELECT ? AS said", ("'; DROP TABLE x",))) == [{"said": "'; DROP TABLE x"}]


def test_a_statement_the_database_refuses_is_refused(sqlite_dsn: str) -> None:
    with pytest.raises(RejectedError, match="no such table"):
        list(odbc.rows(odbc.connect(sqlite_dsn, timeout_s=5), "SELECT * FROM absent"))


def test_a_batch_has_a_limit(sqlite_dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="batch"):
        list(odbc.rows(odbc.connect(sqlite_dsn, timeout_s=5), "SELECT 1", batch=0))
