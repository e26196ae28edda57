"""``/v1/points``: what a caller asks is done once, and what they read adds up."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from flows.runtime.bootstrap import Hub
from hub_api import audit
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.points_world import GROWTH, LEAVES, MERGE, NOON, REASON, RULES, STARS, earn, enter, publish, sale

ALL_SCOPES = ("points:read", "points:write", "points:adjust", "points:rules", "members:read", "ingest:*")
Read = Callable[..., Any]


@pytest.fixture
def desk(hub: Hub, client: Client) -> httpx.Client:
    """Somebody who may do all about points, in a group with rules."""
    publish(hub)
    return client(*ALL_SCOPES)


@pytest.fixture
def c1(desk: httpx.Client) -> str:
    """Our id of the member C1."""
    return enter(desk, "C1")["C1"]


@pytest.fixture
def shop(client: Client, c1: str) -> httpx.Client:
    """A key that speaks for the channel ``shop``."""
    return client("points:read", "points:write", "channel:shop")


def balance(caller: httpx.Client, member: str, programme: str = STARS) -> dict[str, Any]:
    found = caller.get(f"/v1/points/members/{member}").raise_for_status().json()["programmes"]
    return next(each for each in found if each["programme"] == programme)


def why(caller: httpx.Client, member: str, programme: str = STARS, **query: str) -> dict[str, Any]:
    answer = caller.get(f"/v1/points/members/{member}/why", params={"programme": programme, **query})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_sale_earns_once_and_the_member_may_be_named_as_their_system_does(desk: httpx.Client, c1: str) -> None:
    first = earn(desk, "hub:C1", "S1", 250)
    again = earn(desk, c1, "S1", 250)
    assert (first["points"], first["state"], first["outcome"], first["repeated"]) == (250, "done", "earned", False)
    assert again == {**first, "repeated": True}
    found = balance(desk, "hub:C1")
    assert (found["posted"], found["held"], found["available"], found["arrears"]) == (250, 0, 250, 0)
    assert found["next_expiry"] == {"due": "2028-03-31T16:00:00Z", "points": 250}


def test_the_same_number_with_other_content_is_a_conflict(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 250)
    assert code_of(desk.post("/v1/points/earns", json=sale(c1, "S1", 251))) == (409, "points.key_conflict")
    assert balance(desk, c1)["posted"] == 250


def test_without_waiting_it_is_taken_and_done_later(hub: Hub, desk: httpx.Client, c1: str) -> None:
    answer = desk.post("/v1/points/earns", json=sale(c1, "S1"))
    assert (answer.status_code, answer.json()["state"]) == (202, "ready")
    hub.runner.run_now(answer.json()["run_id"])
    assert desk.post("/v1/points/earns", json=sale(c1, "S1")).json()["points"] == 100


def test_what_comes_back_takes_back_what_it_earned(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 250)
    back = {"programme": STARS, "order_no": "S1", "return_no": "R1", "happened_at": NOON}
    answer = desk.post("/v1/points/returns?wait=true", json={**back, "lines": [{"line_no": 1, "quantity": 1}]})
    assert (answer.status_code, answer.json()["points"]) == (200, 125)
    assert balance(desk, c1)["posted"] == 125


@pytest.mark.parametrize("points", [-3, 0, 1.5, "3", 10**13, None])
def test_points_that_cannot_be_are_refused_and_nothing_is_posted(
    hub: Hub, desk: httpx.Client, c1: str, points: object
) -> None:
    asked = {"exchange_no": "X1", "from": STARS, "to": LEAVES, "holder": c1, "points": points, "happened_at": NOON}
    answer = desk.post("/v1/points/exchanges?wait=true", json=asked)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["body.points"]
    assert hub.database.run("SELECT id FROM ledger_transfer") == []


def test_an_exchange_is_quoted_and_then_done_at_that_rate(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 1000)
    wanted = {"from": STARS, "to": LEAVES, "points": 300, "happened_at": NOON}
    quote = desk.post("/v1/points/quotes/exchange", json=wanted).json()
    assert (quote["give"], quote["spread"], quote["get"], quote["rate"]) == (300, 6, 196, "3:2")
    done = desk.post("/v1/points/exchanges?wait=true", json={**wanted, "exchange_no": "X1", "holder": c1})
    assert (done.status_code, done.json()["give"], done.json()["get"]) == (200, 300, 196)
    assert (balance(desk, c1)["posted"], balance(desk, c1, LEAVES)["posted"]) == (700, 196)


def test_an_exchange_of_more_than_there_is_is_refused_whole(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 100)
    wanted = {"exchange_no": "X1", "from": STARS, "to": LEAVES, "holder": c1, "points": 300, "happened_at": NOON}
    refused = desk.post("/v1/points/exchanges?wait=true", json=wanted)
    assert code_of(refused) == (409, "points.insufficient")
    assert "100 are available" in refused.json()["detail"]
    assert code_of(desk.post("/v1/points/exchanges", json=wanted)) == (409, "points.insufficient")
    assert balance(desk, c1)["posted"] == 100


def test_quotes_say_what_a_sale_earns_and_what_points_pay(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 1000)
    lines = [{"line_no": 1, "sku": "TEE-RED-M", "quantity": 1, "amount_minor": 10_000}]
    sold = {"programme": STARS, "lines": lines, "happened_at": "2026-03-03T12:00:00+08:00"}
    anybody = desk.post("/v1/points/quotes/earn", json=sold).json()
    gold = desk.post("/v1/points/quotes/earn", json={**sold, "holder": "hub:C1"}).json()
    assert (anybody["points"], anybody["level"]) == (100, None)
    assert (gold["points"], gold["level"]) == (150, "gold")
    assert gold["lines"][0]["rules"] == [
        {"rule": "base", "points": 100, "issuer": BRAND},
        {"rule": "gold", "points": 50, "issuer": BRAND},
    ]
    paid = desk.post("/v1/points/quotes/spend", json={"programme": STARS, "holder": c1, "amount_minor": 9999}).json()
    assert (paid["points"], paid["worth_minor"], paid["cash_minor"], paid["available"]) == (1000, 1000, 8999, 1000)
    half = desk.post("/v1/points/quotes/spend", json={"programme": STARS, "holder": c1, "amount_minor": 1000}).json()
    assert (half["points"], half["cash_minor"]) == (500, 500)


def test_a_supplier_that_is_not_connected_gets_no_spend(desk: httpx.Client, c1: str) -> None:
    line = {"line_no": 1, "sku": "CARD-10", "quantity": 1, "points": 10}
    asked = {"programme": STARS, "holder": c1, "order_no": "P1", "happened_at": NOON, "region_code": "330106"}
    answer = desk.post("/v1/points/spends", json={**asked, "supplier": "giftco", "lines": [line], "points": 10})
    assert code_of(answer) == (404, "points.supplier_unknown")


def test_a_balance_is_proved_by_its_lots_its_kinds_and_what_changed(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 300)
    earn(desk, c1, "S2", 200)
    wanted = {"exchange_no": "X1", "from": STARS, "to": LEAVES, "holder": c1, "points": 350, "happened_at": NOON}
    desk.post("/v1/points/exchanges?wait=true", json=wanted).raise_for_status()
    proof = why(desk, c1)
    assert (proof["posted"], proof["available"], proof["adds_up"], proof["cut"]) == (150, 150, True, False)
    (lot,) = proof["lots"]
    assert (lot["origin_reference"], lot["amount"], lot["remaining"]) == ("S2", 200, 150)
    assert [(moved["kind"], moved["points"]) for moved in lot["went"]] == [("exchange", -50)]
    assert {row["kind"]: row["points"] for row in proof["by_kind"]} == {"earn": 500, "exchange": -350}
    assert (proof["since"]["was"], proof["since"]["is"]) == (0, 150)
    assert sum(change["points"] for change in proof["since"]["changes"]) == 150
    later = why(desk, c1, since=proof["at"])
    assert (later["since"]["was"], later["since"]["changes"]) == (150, [])


def test_a_late_sale_is_told_apart_by_when_it_was_recorded(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 300)
    seen = why(desk, c1)["at"]
    earn(desk, c1, "LATE", 50, happened_at="2026-02-01T12:00:00+08:00")

    def as_of(**query: str) -> int:
        answer = desk.get(f"/v1/points/members/{c1}/as-of", params={"programme": STARS, **query})
        return int(answer.raise_for_status().json()["points"])

    february = "2026-02-15T00:00:00+08:00"
    assert as_of() == 350
    assert as_of(recorded=seen) == 300
    assert as_of(happened=february) == 50
    assert as_of(happened=february, recorded=seen) == 0
    (change,) = why(desk, c1, since=seen)["since"]["changes"]
    assert (change["reference"], change["points"]) == ("LATE", 50)


def test_the_journal_shows_which_lots_a_debit_emptied(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 300)
    wanted = {"exchange_no": "X1", "from": STARS, "to": LEAVES, "holder": c1, "points": 100, "happened_at": NOON}
    desk.post("/v1/points/exchanges?wait=true", json=wanted).raise_for_status()
    first = desk.get(f"/v1/points/members/{c1}/journal", params={"limit": 1}).json()
    (debit,) = first["items"]
    assert debit["kind"] == "exchange"
    assert {change["programme"]: change["points"] for change in debit["changes"]} == {STARS: -100, LEAVES: 65}
    (out,) = [posting for posting in debit["postings"] if posting["points"] < 0]
    assert (out["origin_reference"], out["points"]) == ("S1", -100)
    rest = desk.get(f"/v1/points/members/{c1}/journal", params={"after": first["next"]}).json()
    assert ([entry["kind"] for entry in rest["items"]], rest["next"]) == (["earn"], None)
    lots = desk.get(f"/v1/points/members/{c1}/lots", params={"programme": STARS}).json()
    assert [(lot["id"], lot["remaining"]) for lot in lots["items"]] == [(out["lot_id"], 200)]


def test_a_transfer_is_shown_with_its_postings_and_reversals(desk: httpx.Client, c1: str) -> None:
    (earned,) = earn(desk, c1, "S1", 300)["transfers"]
    back = {"programme": STARS, "order_no": "S1", "return_no": "R1", "happened_at": NOON}
    taken = desk.post("/v1/points/returns?wait=true", json={**back, "lines": [{"line_no": 1, "quantity": 2}]}).json()
    found = desk.get(f"/v1/points/transfers/{earned}").json()
    assert found["reversed_by"] == taken["transfers"]
    assert sum(posting["amount"] for posting in found["postings"] if posting["asset"] == STARS) == 0
    listed = desk.get("/v1/points/transfers", params={"reference": "S1"}).json()
    assert [row["kind"] for row in listed["items"]] == ["claw_back", "earn"]


def test_another_brand_sees_neither_the_transfer_nor_the_member(desk: httpx.Client, client: Client, c1: str) -> None:
    (earned,) = earn(desk, c1, "S1", 300)["transfers"]
    sister = client(*ALL_SCOPES, brand="sister")
    assert code_of(sister.get(f"/v1/points/transfers/{earned}")) == (404, "points.transfer_unknown")
    assert code_of(sister.get(f"/v1/points/members/{c1}")) == (404, "member.unknown")
    assert sister.get("/v1/points/transfers").json()["items"] == []
    assert sister.get("/v1/points/issuers").json()["items"] == []
    assert code_of(sister.post("/v1/points/earns", json=sale(c1, "S2"))) == (403, "points.brand")


def test_issuers_add_up(desk: httpx.Client, c1: str) -> None:
    earn(desk, c1, "S1", 300)
    wanted = {"exchange_no": "X1", "from": STARS, "to": LEAVES, "holder": c1, "points": 100, "happened_at": NOON}
    desk.post("/v1/points/exchanges?wait=true", json=wanted).raise_for_status()
    found = {row["programme"]: row for row in desk.get("/v1/points/issuers").json()["items"]}
    stars = found[STARS]
    parts = ("spent", "expired", "exchanged_out", "clawed_back", "outstanding")
    assert stars["issued"] == sum(stars[part] for part in parts) == 300
    assert (stars["exchanged_out"], stars["outstanding"], stars["liability_minor"]) == (100, 200, 100)
    due = desk.get("/v1/points/due").json()["items"]
    assert {(row["programme"], row["month"], row["points"]) for row in due} == {
        (STARS, due[1]["month"], 200),
        (GROWTH, None, 300),
    }


def test_a_channel_neither_exchanges_nor_adjusts_nor_merges_nor_publishes_whatever_its_scopes(
    client: Client, desk: httpx.Client, c1: str
) -> None:
    earn(desk, c1, "S1", 100)
    enter(desk, "C2")
    merge_id = desk.post("/v1/points/merges", json=MERGE).raise_for_status().json()["merge_id"]
    shop = client("points:read", "points:write", "points:adjust", "points:rules", "channel:shop")
    adjustment = {"adjustment_no": "A1", "programme": STARS, "holder": "hub:C1", "points": 5, "reason": REASON}
    asked: dict[str, dict[str, Any]] = {
        "exchanges": {
            "exchange_no": "X1", "from": STARS, "to": LEAVES, "holder": "hub:C1", "points": 30, "happened_at": NOON,
        },
        "adjustments": adjustment,
        "merges": MERGE,
        "rules": {"text": RULES.replace("points = 1,", "points = 99,"), "note": REASON},
    }  # fmt: skip
    for path, body in asked.items():
        assert code_of(shop.post(f"/v1/points/{path}", json=body)) == (403, "access.channel"), path
    assert code_of(shop.delete(f"/v1/points/merges/{merge_id}")) == (403, "access.channel")
    assert balance(desk, c1)["posted"] == 100


def test_a_channel_earns_for_itself_and_sees_only_whom_it_names(
    shop: httpx.Client, desk: httpx.Client, c1: str
) -> None:
    earn(shop, "hub:C1", "S1", 100)
    assert balance(shop, "hub:C1")["posted"] == 100
    assert shop.get("/v1/points/members/hub:C1").json()["member"] is None
    assert code_of(shop.get(f"/v1/points/members/{c1}")) == (403, "points.by_name")
    assert code_of(shop.post("/v1/points/earns", json=sale("hub:C1", "S2", channel="live"))) == (403, "access.channel")
    for path in ("transfers", "transfers/1", "issuers", "due", "proofs"):
        assert code_of(shop.get(f"/v1/points/{path}")) == (403, "access.channel"), path
    back = {"programme": STARS, "order_no": "S1", "return_no": "R1", "happened_at": NOON}
    answer = shop.post("/v1/points/returns?wait=true", json={**back, "lines": [{"line_no": 1, "quantity": 2}]})
    assert answer.json()["points"] == 100
    assert code_of(shop.post("/v1/points/refunds", json={"order_no": "P9", "refund_no": "1", "happened_at": NOON})) == (
        404,
        "points.spend_unknown",
    )


def test_the_member_is_masked_and_shown_to_those_who_may_see_members(
    desk: httpx.Client, client: Client, c1: str
) -> None:
    found = desk.get(f"/v1/points/members/{c1}").json()["member"]
    assert (found["code"], found["mobile"]) == ("C1", "138••••5678")
    assert client("points:read").get(f"/v1/points/members/{c1}").json()["member"] is None


def test_an_adjustment_is_made_once_and_its_reason_is_audited(hub: Hub, desk: httpx.Client, c1: str) -> None:
    asked = {"adjustment_no": "A1", "programme": STARS, "holder": c1, "points": 80, "reason": REASON}
    first = desk.post("/v1/points/adjustments", json=asked).json()
    assert desk.post("/v1/points/adjustments", json=asked).json() == {**first, "repeated": True}
    assert code_of(desk.post("/v1/points/adjustments", json={**asked, "points": 81})) == (409, "points.key_conflict")
    taken = {**asked, "adjustment_no": "A2", "points": -30}
    assert desk.post("/v1/points/adjustments", json=taken).status_code == 200
    assert balance(desk, c1)["posted"] == 50
    too_much = {**asked, "adjustment_no": "A3", "points": -51}
    assert code_of(desk.post("/v1/points/adjustments", json=too_much)) == (422, "points.insufficient")
    phone = {**asked, "adjustment_no": "A4", "reason": "he called from 13812345678 about it"}
    assert code_of(desk.post("/v1/points/adjustments", json=phone)) == (422, "reason.personal")
    with hub.database.unit() as uow:
        entries = audit.list_entries(uow, audit.AuditFilter(OWNER, BRAND, action="points.adjust"))
    assert [entry["detail"]["points"] for entry in entries] == [-30, 80]
    assert entries[0]["detail"]["reason"] == REASON


def test_a_merge_shares_a_wallet_and_its_end_gives_each_their_own_back(desk: httpx.Client) -> None:
    known = enter(desk, "C1", "C2")
    earn(desk, "hub:C1", "S1", 100)
    earn(desk, "hub:C2", "S2", 40)
    order = {"merge_no": "M1", "kept": "hub:C1", "merged": "hub:C2", "reason": REASON}
    merged = desk.post("/v1/points/merges", json=order).raise_for_status().json()
    assert desk.post("/v1/points/merges", json=order).json() == merged
    assert (balance(desk, "hub:C1")["posted"], balance(desk, "hub:C2")["posted"]) == (140, 140)
    assert desk.get("/v1/points/members/hub:C2").json()["wallet"] == [known["C1"], known["C2"]]
    assert desk.delete(f"/v1/points/merges/{merged['merge_id']}").json()["holders"] == [known["C2"]]
    assert desk.delete(f"/v1/points/merges/{merged['merge_id']}").json()["holders"] == []
    assert (balance(desk, "hub:C1")["posted"], balance(desk, "hub:C2")["posted"]) == (100, 40)


def test_a_merge_that_is_told_twice_is_audited_once(hub: Hub, desk: httpx.Client) -> None:
    enter(desk, "C1", "C2", "C3")
    order = {"merge_no": "M1", "kept": "hub:C1", "merged": "hub:C2", "reason": REASON}
    merged = desk.post("/v1/points/merges", json=order).raise_for_status().json()
    assert desk.post("/v1/points/merges", json=order).json() == merged
    assert code_of(desk.post("/v1/points/merges", json={**order, "merged": "hub:C3"})) == (409, "points.key_conflict")
    with hub.database.unit() as uow:
        entries = audit.list_entries(uow, audit.AuditFilter(OWNER, BRAND, action="points.merge"))
    assert [entry["subject"] for entry in entries] == [f"merge:{merged['merge_id']}"]


def test_rules_are_refused_with_every_issue(desk: httpx.Client) -> None:
    bad = RULES.replace("per_minor = 100", "per_minor = 0").replace("give = 3", "give = -1")
    answer = desk.post("/v1/points/rules", json={"text": bad, "note": REASON})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) >= 2
    checked = desk.post("/v1/points/rules/check", json={"text": bad}).json()
    assert [issue["field"] for issue in checked["issues"]] == [error["field"] for error in answer.json()["errors"]]
    assert desk.get("/v1/points/rules").json()["version"] == 1


def test_rules_are_published_against_the_version_that_was_read(desk: httpx.Client) -> None:
    text = RULES.replace("points = 1, per_minor = 100", "points = 2, per_minor = 100")
    order = {"text": text, "note": REASON, "against": 1}
    assert desk.post("/v1/points/rules", json=order).json() == {"version": 2}
    assert code_of(desk.post("/v1/points/rules", json={**order, "text": RULES})) == (409, "rules.overtaken")
    assert [row["version"] for row in desk.get("/v1/points/rules/history").json()["items"]] == [2, 1]
    (stars,) = [each for each in desk.get("/v1/points/programmes").json()["items"] if each["name"] == STARS]
    assert stars["earn"][0] == {"name": "base", "points": 2, "per_minor": 100}
    assert stars["exchange"][0]["spread"] == "0.02"


def test_nobody_changes_another_brands_programmes(desk: httpx.Client) -> None:
    text = RULES.replace('title = "Leaves"', 'title = "Dry leaves"')
    answer = desk.post("/v1/points/rules", json={"text": text, "note": REASON})
    assert code_of(answer) == (403, "points.brand")
    assert LEAVES in answer.json()["detail"]


@pytest.mark.parametrize("name", ["0", "999999", "hub:nobody", "nowhere:C1", "C1", "-1", "1e3"])
def test_a_member_that_nobody_knows_is_not_found(desk: httpx.Client, name: str) -> None:
    assert code_of(desk.get(f"/v1/points/members/{name}")) == (404, "member.unknown")


def test_a_programme_that_nobody_knows_is_not_found(desk: httpx.Client, c1: str) -> None:
    answer = desk.get(f"/v1/points/members/{c1}/why", params={"programme": f"{BRAND}/moons"})
    assert code_of(answer) == (404, "points.programme_unknown")
    assert STARS in answer.json()["detail"]
