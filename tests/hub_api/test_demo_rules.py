"""The demo's retailer ships by a rulebook of its own."""

from flows.runtime.bootstrap import Hub
from hub_api.demo.retailer import LIVE_ROOM, MINI_PROGRAM, TILL
from hub_api.demo.supply import publish_rules
from tests.hub_api.conftest import Client


def test_the_demo_s_rulebook_is_in_force_before_its_first_order(hub: Hub, client: Client) -> None:
    publish_rules(hub)
    found = client("ops:read").get("/v1/routing/rules").json()
    assert (found["version"], found["latest"], found["note"]) == (1, 1, "opening day")
    assert found["base"]["on_short"] == "partial"


def test_the_demo_s_rules_name_only_channels_that_it_has(hub: Hub, client: Client) -> None:
    publish_rules(hub)
    named = set(client("ops:read").get("/v1/routing/rules").json()["channels"])
    assert named
    assert named <= {LIVE_ROOM, MINI_PROGRAM, TILL}
