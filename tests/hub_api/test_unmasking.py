"""Personal values in the clear: for a reason, in the audit log first, not too often, and only one's own."""

import json
from typing import Any

import pytest

from canonical_model.errors import AccessError, LimitError, NotFoundError, RejectedError
from flows.runtime.bootstrap import Hub
from hub_api import unmasking
from hub_api.audit import verify
from tests.hub_api.conftest import Client
from tests.hub_api.documents import order, product
from tests.hub_api.test_stories import ME, PHONE, person

WHY = "the courier cannot read the label and calls us"


@pytest.fixture
def sold(hub: Hub, client: Client) -> dict[str, Any]:
    """One order taken and one in quarantine, both of the same person."""
    client("*").post("/v1/ingest/hub/products?wait=true", json=[product()])
    http = client("*", "channel:shop")
    taken = http.post("/v1/orders?wait=true", json=order()).json()
    http.post("/v1/orders?wait=true", json=order("M1002", line={"unit": "parsec"}))
    (order_row,) = hub.database.run("SELECT id FROM sales_order")
    (refused,) = hub.database.run("SELECT id FROM quarantine")
    return {"order": order_row["id"], "message": f"{taken['message_id']}:0", "quarantine": refused["id"]}


@pytest.mark.parametrize("what", ["order", "message", "quarantine"])
def test_values_are_shown_and_the_log_names_fields_but_no_value(hub: Hub, sold: dict[str, Any], what: str) -> None:
    values = unmasking.reveal(hub, ME, what, str(sold[what]), WHY)
    assert (values["receiver.mobile"], values["receiver.name"]) == (PHONE, "陈小一")
    (entry,) = hub.database.run("SELECT * FROM audit WHERE action = 'personal.unmask'")
    assert (entry["actor"], entry["subject"]) == ("user:tester", f"{what}:{sold[what]}")
    detail = json.loads(entry["detail"])
    assert detail["reason"] == WHY
    assert "receiver.mobile" in detail["fields"]
    assert PHONE not in str(entry) + str(hub.database.run("SELECT * FROM unmasking"))
    assert verify(hub.database).broken is None


@pytest.mark.parametrize(
    "reason", ["", "because", "  why not  ", "x" * 2000, f"he says his number is {PHONE}", "陈小一 called"]
)
def test_a_reason_that_says_nothing_or_too_much_shows_nothing(hub: Hub, sold: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectedError) as refused:
        unmasking.reveal(hub, ME, "order", str(sold["order"]), reason)
    assert refused.value.code in ("reason.short", "reason.personal")
    assert hub.database.run("SELECT 1 FROM audit WHERE action = 'personal.unmask'") == []


@pytest.mark.parametrize(
    "held",
    [
        "13900001111",
        "+86 139-0000-1111,13900002222",
        "１３９００００１１１１",
        "139 0000 1111和139 0000 2222",
        "wang.wu@example.com",
        "330106199005201234",
        "身份证33010619900520123x",
        "330106 19900520 1234",
    ],
)
def test_a_reason_that_holds_what_names_anybody_shows_nothing(hub: Hub, sold: dict[str, Any], held: str) -> None:
    with pytest.raises(RejectedError) as refused:
        unmasking.reveal(hub, ME, "order", str(sold["order"]), f"asked for by {held} today")
    assert refused.value.code == "reason.personal"
    assert hub.database.run("SELECT 1 FROM audit WHERE action = 'personal.unmask'") == []


@pytest.mark.parametrize("why", ["ticket 2026030112345678 of 2026-03-01", "parcel SF1029384756, order M1 @ the shop"])
def test_a_reason_may_name_tickets_and_parcels(hub: Hub, sold: dict[str, Any], why: str) -> None:
    assert unmasking.reveal(hub, ME, "order", str(sold["order"]), why)


def test_only_so_many_an_hour_are_shown_to_one_person(
    hub: Hub, sold: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmasking, "MOST_AN_HOUR", 2)
    for _ in range(2):
        unmasking.reveal(hub, ME, "order", str(sold["order"]), WHY)
    with pytest.raises(LimitError) as refused:
        unmasking.reveal(hub, ME, "order", str(sold["order"]), WHY)
    assert refused.value.code == "unmask.rate"
    hub.database.run("UPDATE unmasking SET shown_at = shown_at - interval '61 minutes'")
    assert unmasking.reveal(hub, ME, "order", str(sold["order"]), WHY)


def test_what_was_erased_is_gone_for_everybody(hub: Hub, sold: dict[str, Any]) -> None:
    with hub.database.unit() as uow:
        hub.vault.destroy(uow.connection, hub.vault.token(PHONE))
        uow.commit()
    for what, key in sold.items():
        with pytest.raises(NotFoundError, match="erased"):
            unmasking.reveal(hub, ME, what, str(key), WHY)


def test_is_for_those_who_may_and_for_what_is_theirs(hub: Hub, sold: dict[str, Any]) -> None:
    for access, error in (
        (person("ops:read", "data:write"), AccessError),
        (person(brand="sister"), NotFoundError),
        (person("*", "channel:live"), NotFoundError),
    ):
        for what, key in sold.items():
            with pytest.raises(error):
                unmasking.reveal(hub, access, what, str(key), WHY)
    assert hub.database.run("SELECT 1 FROM unmasking") == []


@pytest.mark.parametrize("what", ["order", "message", "quarantine", "member", "sku", ""])
@pytest.mark.parametrize("key", ["", "0", "-1", "x:y", "999", "msg_x:-1"])
def test_what_is_not_there_is_not_found(hub: Hub, what: str, key: str) -> None:
    with pytest.raises(NotFoundError):
        unmasking.reveal(hub, ME, what, key, WHY)


def test_a_record_without_people_is_not_unmasked(hub: Hub, client: Client) -> None:
    client("*").post("/v1/ingest/hub/products?wait=true", json=[product(base_unit="parsec")])
    (row,) = hub.database.run("SELECT id FROM quarantine")
    with pytest.raises(NotFoundError, match="nothing personal"):
        unmasking.reveal(hub, ME, "quarantine", str(row["id"]), WHY)
