"""One shelf that a DRP counts and a till changes: the DRP's figure counts, the till's are observations."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.kit.process import SimulatorProcess
from flows.ingest.pull import pull
from flows.runtime.bootstrap import build
from flows.runtime.settings import Settings
from tests.connectors.drp.servers import SERVERS, Server, server
from tests.flows.desk import ESTATE, Desk, product, statuses

DRP = """
[systems.drp]
connector = "drp"
settings = {{ dialect = "{dialect}" }}
secrets = {{ connection = "file:{folder}/drp_connection" }}

"""


@pytest.fixture(params=SERVERS)
def found(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param, request.getfixturevalue("postgres_18")) as made:
        yield made


@pytest.fixture
def desk(settings: Settings, found: Server) -> Iterator[Desk]:
    """A hub where the DRP is the authority of the stores."""
    folder = settings.data_dir
    (folder / "drp_connection").write_text(found.connection)
    drp = DRP.format(dialect=found.dialect, folder=folder)
    estate = ESTATE.replace("SECRET", str(folder / "secret")).replace("[[authority]]", f"{drp}[[authority]]", 1)
    settings.estate.write_text(estate.replace('kind = "store"\nsystem = "pos"', 'kind = "store"\nsystem = "drp"'))
    with build(settings) as hub:
        yield Desk(hub)


@pytest.fixture
def drp(found: Server, desk: Desk, tmp_path: Path) -> Iterator[SimulatorProcess]:
    """Ten shirts lie in S001, which the hub knows by the DRP's and the till's name."""
    with SimulatorProcess("drp", tmp_path / "drp.db", settings=found.simulator_settings) as process:
        store = {"STORE_CODE": "S001", "STORE_NAME": "杭州湖滨店", "LNG": "120.1646", "LAT": "30.2536"}
        shelf = {"STORE_CODE": "S001", "SKU_CODE": "YS-1", "QTY": 10}
        say(process, "/_seed", {"stores": [store], "stock": [shelf]})
        pulled(desk, "stores")
        till(desk, "stores", {"shopCode": "S001", "shopName": "杭州湖滨店", "state": "OPEN"}, batch="B1")
        desk.push("products", product("TEE", identifiers=[{"scheme": "pos", "value": "YS-1"}]))
        yield process


def say(drp: SimulatorProcess, path: str, body: Any) -> None:
    httpx.post(f"{drp.url}{path}", json=body, timeout=30, trust_env=False).raise_for_status()


def pulled(desk: Desk, stream: str) -> int:
    """Pull and apply; how many records came."""
    report = pull(desk.hub, "drp", stream)
    assert report.error is None
    desk.work()
    return report.records


def till(desk: Desk, stream: str, *records: dict[str, Any], batch: str) -> None:
    body = json.dumps({"batchNo": batch, "data": list(records)}).encode()
    received = desk.send_body(body, stream, system="pos", idempotency_key=batch)
    assert statuses(desk.apply(received)) == ["accepted"] * len(records)


def sale(number: int, quantity: int) -> dict[str, Any]:
    return {
        "changeNo": f"C{number}",
        "shopCode": "S001",
        "goodsCode": "YS-1",
        "stockType": "1",
        "changeQty": -quantity,
        "changeType": "SALE",
        "changeTime": "2026-03-01 12:00:00",
    }


def on_hand(desk: Desk) -> list[tuple[str, int]]:
    return [(row["system"], row["on_hand"]) for row in desk.rows("SELECT system, on_hand FROM stock_level")]


def test_the_drps_figure_counts_and_the_tills_changes_are_observed(desk: Desk, drp: SimulatorProcess) -> None:
    assert pulled(desk, "stock") == 1
    assert on_hand(desk) == [("drp", 10)]
    till(desk, "stock", sale(1, 2), sale(2, 1), batch="B2")
    assert on_hand(desk) == [("drp", 10)]
    observed = desk.rows("SELECT system, figure FROM stock_observation")
    assert {(row["system"], row["figure"]) for row in observed} == {("pos", "delta")}
    lines = [{"skuCode": "YS-1", "qty": 3}]
    say(drp, "/_sales", [{"billNo": "S001-1", "storeCode": "S001", "lines": lines}])
    pulled(desk, "stock")
    assert on_hand(desk) == [("drp", 7)]


def test_rows_read_again_change_nothing(desk: Desk, drp: SimulatorProcess) -> None:
    for _ in range(3):
        assert pulled(desk, "stock") == 1
    assert on_hand(desk) == [("drp", 10)]
    assert desk.one("SELECT count(*) FROM stock_movement") == 1
    assert desk.one("SELECT count(*) FROM stock_level") == 1
    assert desk.one("SELECT count(*) FROM quarantine") == 0


def test_a_second_change_within_the_same_second_is_not_missed(desk: Desk, drp: SimulatorProcess) -> None:
    moment = "2026-03-01 12:00:00"
    for quantity in (9, 4):
        shelf = {"STORE_CODE": "S001", "SKU_CODE": "YS-1", "QTY": quantity, "MODIFY_TIME": moment}
        say(drp, "/_seed", {"stock": [shelf]})
        desk.hub.database.run("UPDATE stream_cursor SET cursor = NULL WHERE stream = 'stock'")
        pulled(desk, "stock")
    assert on_hand(desk) == [("drp", 4)]
