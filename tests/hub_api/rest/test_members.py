"""Members are read masked, found by their mobile, and shown with their points; only of one's own brand."""

from typing import Any

import httpx
import pytest

from flows.ingest.members import erase_member
from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import BRAND, OWNER, Client

MOBILE = "13812345678"


def member(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A gold member."""
    return {
        "id": f"m-{number}",
        "code": f"C{number}",
        "name": "欧阳小一",
        "mobile": f"+86 {MOBILE}",
        "level": "gold",
        "occurred_at": "2026-03-01T09:30:00+08:00",
        "extensions": {"remark": "喜欢拿铁", "visits": 12345678},
        **changes,
    }


@pytest.fixture
def reader(client: Client) -> httpx.Client:
    """Reads members, in a hub that knows two of them and some points."""
    entry = {"member": "C1", "programme": "stars", "happened_at": "2026-03-01T09:30:00+08:00"}
    sender = client("ingest:*")
    sender.post("/v1/ingest/shop/members?wait=true", json=[member(1), member(2, mobile="13900000000")])
    sender.post(
        "/v1/ingest/shop/points?wait=true",
        json=[{"id": "P1", "points": 100, **entry}, {"id": "P2", "points": -30, **entry}],
    )
    return client("members:read")


def test_members_are_listed_masked(reader: httpx.Client) -> None:
    answer = reader.get("/v1/members")
    first, second = answer.json()["items"]
    assert (first["code"], first["level"], first["name"]) == ("C1", "gold", "欧•••")
    assert first["mobile"].endswith("5678")
    assert first["extensions"] == {"remark": "喜•••", "visits": "1••••••8"}
    assert not any(word in answer.text for word in (MOBILE, "小一", "拿铁", "sealed", "token", "key_id"))
    assert second["code"] == "C2"


def test_members_are_filtered_and_paged(reader: httpx.Client) -> None:
    assert [m["code"] for m in reader.get("/v1/members?code=C2&system=shop").json()["items"]] == ["C2"]
    assert reader.get("/v1/members?system=live").json()["items"] == []
    first = reader.get("/v1/members?limit=1").json()
    assert [m["code"] for m in reader.get(f"/v1/members?after={first['next']}").json()["items"]] == ["C2"]
    assert reader.get("/v1/members?mobile=138").status_code == 422


@pytest.mark.parametrize("written", [MOBILE, f"0086-{MOBILE}", "138 1234 5678"])
def test_a_member_is_found_by_the_mobile_number(reader: httpx.Client, written: str) -> None:
    found = reader.post("/v1/members/find", json={"mobile": written}).json()["items"]
    assert [m["code"] for m in found] == ["C1"]


def test_a_member_is_shown_with_the_newest_points_first(reader: httpx.Client) -> None:
    listed = reader.get("/v1/members?code=C1").json()["items"][0]
    shown = reader.get(f"/v1/members/{listed['id']}").json()
    assert [entry["points"] for entry in shown.pop("points")] == [-30, 100]
    assert shown == listed


def test_an_erased_member_says_so(hub: Hub, reader: httpx.Client) -> None:
    number = reader.get("/v1/members?code=C1").json()["items"][0]["id"]
    with hub.database.unit() as uow:
        erase_member(uow, OWNER, BRAND, number)
        uow.commit()
    shown = reader.get(f"/v1/members/{number}").json()
    assert shown["erased"]
    assert not {"name", "mobile", "extensions"} & shown.keys()


def test_another_brands_member_is_unknown(reader: httpx.Client, client: Client) -> None:
    number = reader.get("/v1/members").json()["items"][0]["id"]
    stranger = client("members:read", brand="sister")
    assert stranger.get(f"/v1/members/{number}").status_code == 404
    assert stranger.get("/v1/members").json()["items"] == []
