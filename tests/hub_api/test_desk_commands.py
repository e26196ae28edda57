"""``yipan search``, ``story`` and ``system``: for people as tables, for programs as JSON."""

from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import Client
from tests.hub_api.documents import product
from tests.hub_api.test_cli import PRODUCTS, Yipan, yipan

__all__ = ["yipan"]


def test_a_sku_is_found_and_told(client: Client, yipan: Yipan) -> None:
    client("*").post(PRODUCTS, json=[product("TEE")])
    (hit,) = yipan("search", "TEE", "--json").json
    assert (hit["kind"], hit["id"]) == ("sku", "TEE")
    assert yipan("story", hit["kind"], hit["id"], "--json").json["summary"]["name"] == "速干短袖"
    assert "TEE" in yipan("search", "TEE").out
    assert "速干短袖" in yipan("story", "sku", "TEE").out


def test_what_is_not_there_is_said_in_one_line(yipan: Yipan) -> None:
    said = yipan("story", "order", "7")
    assert (said.code, said.err.strip()) == (4, "yipan: there is no order with the id 7")


def test_a_system_is_listed_paused_and_resumed_under_the_users_name(hub: Hub, yipan: Yipan) -> None:
    assert "wms" in [row["name"] for row in yipan("system", "list", "--json").json]
    assert yipan("system", "pause", "wms", "--json").json["health"] == "paused"
    assert yipan("system", "show", "wms", "--json").json["lanes"][0]["paused"] is True
    assert yipan("system", "resume", "wms", "--json").json["health"] == "well"
    actors = hub.database.run("SELECT DISTINCT split_part(actor, ':', 1) AS kind FROM audit")
    assert actors == [{"kind": "cli"}]
    assert yipan("system", "pause", "hub").code == 4
