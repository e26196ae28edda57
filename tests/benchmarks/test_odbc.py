"""The ODBC benchmark reads every row once, ours and bare alike."""

import pytest

pyodbc = pytest.importorskip(
    "pyodbc", exc_type=ImportError, reason="unixODBC is not installed; make setup as root installs it"
)


def test_both_readers_find_every_row() -> None:
    if "PostgreSQL Unicode" not in pyodbc.drivers():
        pytest.skip("odbc-postgresql is not installed")
    from benchmarks.odbc import drp_tables, read_bare, read_ours

    with drp_tables("drp_few", 4_500) as config:
        assert read_ours(config) == read_bare(config) == 4_500
