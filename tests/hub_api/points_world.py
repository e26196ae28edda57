"""A group's points rules and members, for the tests of doors and pages."""

from typing import Any, Final

import httpx

from flows.runtime.bootstrap import Hub
from hub_api import points_rules
from hub_api.auth import command_line
from tests.hub_api.conftest import BRAND

STARS: Final = f"{BRAND}/stars"
GROWTH: Final = f"{BRAND}/growth"
LEAVES: Final = "sister/leaves"
REASON: Final = "the spring campaign begins on Monday"
NOON: Final = "2026-03-02T12:00:00+08:00"
RULES: Final = f"""\
zone = "Asia/Shanghai"

[programmes."{STARS}"]
title = "Stars"
issuer = "{BRAND}"
cost_micro = 500_000
growth = "{GROWTH}"
refund_grace_days = 30
expiry = {{ kind = "months", months = 24, end_of = "month" }}
levels = [{{ name = "silver", at_least = 100 }}, {{ name = "gold", at_least = 1_000 }}]
earn = [
    {{ name = "base", points = 1, per_minor = 100 }},
    {{ name = "gold", multiply = "1.5", levels = ["gold"] }},
]
spend = {{ points_per_100_minor = 100, max_share = "0.5" }}

[programmes."{GROWTH}"]
title = "Growth"
issuer = "{BRAND}"

[programmes."{LEAVES}"]
title = "Leaves"
issuer = "sister"
cost_micro = 800_000
expiry = {{ kind = "date", month = 12, day = 31, years = 2 }}
earn = [{{ name = "base", points = 2, per_minor = 300 }}]

[[exchange]]
from = "{STARS}"
to = "{LEAVES}"
give = 3
get = 2
spread = "0.02"
"""
MERGE: Final = {"merge_no": "M1", "kept": "hub:C1", "merged": "hub:C2", "reason": "two cards of one person"}


def publish(hub: Hub, text: str = RULES) -> None:
    """Put the group's rules in force, as somebody at the machine does."""
    points_rules.publish(hub, command_line(hub.estate.owner, hub.estate.brand), text, REASON)


def member(code: str = "C1", **more: Any) -> dict[str, Any]:
    """A member as the master data channel sends them."""
    return {
        "id": f"m-{code}",
        "code": code,
        "name": "欧阳小一",
        "mobile": "13812345678",
        "occurred_at": "2026-03-01T09:30:00+08:00",
        **more,
    }


def enter(caller: httpx.Client, *codes: str) -> dict[str, str]:
    """Members come in; our id of each code."""
    sent = caller.post("/v1/ingest/hub/members?wait=true", json=[member(code) for code in codes]).raise_for_status()
    assert sent.json()["quarantined"] == 0, sent.text
    found = {code: caller.get("/v1/members", params={"code": code}).json()["items"] for code in codes}
    return {code: str(items[0]["id"]) for code, items in found.items()}


def sale(holder: str, order_no: str, yuan: int = 100, **more: Any) -> dict[str, Any]:
    """A sale that earns a star for each yuan."""
    return {
        "programme": STARS,
        "holder": holder,
        "order_no": order_no,
        "happened_at": NOON,
        "lines": [{"line_no": 1, "sku": "TEE-RED-M", "quantity": 2, "amount_minor": yuan * 100}],
        **more,
    }


def earn(caller: httpx.Client, holder: str, order_no: str, yuan: int = 100, **more: Any) -> dict[str, Any]:
    """A sale has earned; what became of it."""
    answer = caller.post("/v1/points/earns?wait=true", json=sale(holder, order_no, yuan, **more))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told
