"""``yipan points``: the same as at the other doors, where the hub runs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from canonical_model.store import ledger_journal
from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import Client
from tests.hub_api.points_world import GROWTH, LEAVES, NOON, REASON, RULES, STARS, earn, enter
from tests.hub_api.test_cli import Yipan


@pytest.fixture
def known(hub: Hub, yipan: Yipan, client: Client, tmp_path: Path) -> dict[str, str]:
    """Rules published by command, and two members; C1 has 300 stars, of which 100 became leaves."""
    file = tmp_path / "points.toml"
    file.write_text(RULES, "utf-8")
    assert yipan("points", "rules", "publish", str(file), "--reason", REASON, "--json").json == {"version": 1}
    desk = client("points:write", "points:read", "members:read", "ingest:*")
    ids = enter(desk, "C1", "C2")
    earn(desk, "hub:C1", "S1", 300)
    wanted = {"exchange_no": "X1", "from": STARS, "to": LEAVES, "holder": ids["C1"], "points": 100}
    desk.post("/v1/points/exchanges?wait=true", json={**wanted, "happened_at": NOON}).raise_for_status()
    return ids


def seal(hub: Hub) -> None:
    with hub.database.unit() as uow:
        ledger_journal.seal(uow.connection, hub.estate.owner, now=datetime.now(UTC), sign=hub.vault.sign)
        uow.commit()


def test_a_member_has_a_balance_lots_and_a_journal(yipan: Yipan, known: dict[str, str]) -> None:
    found = yipan("points", "balance", "hub:C1", "--json").json
    assert {each["programme"]: each["available"] for each in found["programmes"]} == {
        STARS: 200,
        GROWTH: 300,
        LEAVES: 65,
    }
    assert f"{STARS}  " in yipan("points", "balance", known["C1"]).out
    (lot,) = yipan("points", "lots", "hub:C1", STARS, "--json").json["items"]
    assert (lot["amount"], lot["remaining"]) == (300, 200)
    assert "S1" in yipan("points", "lots", "hub:C1", STARS).out
    entries = yipan("points", "journal", "hub:C1", "--json").json["items"]
    assert [entry["kind"] for entry in entries] == ["exchange", "earn"]
    assert "-100 of S1" in yipan("points", "journal", "hub:C1").out
    shown = yipan("points", "transfer", str(entries[1]["id"]), "--json").json
    assert shown["reference"] == "S1"
    assert yipan("points", "transfer", "999999").code == 4


def test_why_proves_the_balance_to_people_and_programs(yipan: Yipan, known: dict[str, str]) -> None:
    proof = yipan("points", "why", "hub:C1", STARS, "--json").json
    assert (proof["adds_up"], proof["posted"], sum(lot["remaining"] for lot in proof["lots"])) == (True, 200, 200)
    said = yipan("points", "why", "hub:C1", STARS).out
    assert "-100 exchange X1" in said
    assert "it was 0" in said
    asked = ("points", "as-of", "hub:C1", STARS, "--happened", "2026-03-01")
    assert yipan(*asked, "--json").json["points"] == 0


def test_issuers_are_listed(yipan: Yipan, known: dict[str, str]) -> None:
    found = {row["programme"]: row for row in yipan("points", "issuers", "--json").json}
    assert (found[STARS]["issued"], found[STARS]["outstanding"]) == (300, 200)
    assert "outstanding" in yipan("points", "issuers").out


def test_sound_books_are_said_to_be_and_their_head_may_be_kept(hub: Hub, yipan: Yipan, known: dict[str, str]) -> None:
    seal(hub)
    found = yipan("points", "verify", "--json")
    assert (found.code, found.json["sound"], found.json["entries"]) == (0, True, 2)
    assert "the books are sound: 2 entries" in yipan("points", "verify", "--head", found.json["head"]).out
    entries = yipan("audit", "list", "--action", "points.verify", "--json").json
    assert [entry["detail"]["broken"] for entry in entries] == [0, 0]


def test_books_that_were_tampered_with_are_named(hub: Hub, yipan: Yipan, known: dict[str, str]) -> None:
    seal(hub)
    with hub.database.unit() as uow:
        uow.execute("SET LOCAL session_replication_role = replica")
        uow.execute("UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'member' AND balance = 200")
        uow.commit()
    found = yipan("points", "verify", "--json")
    assert (found.code, found.json["sound"]) == (1, False)
    assert any(STARS in each["where"] for each in found.json["broken"])
    said = yipan("points", "verify")
    assert (said.code, "the books are not sound" in said.out) == (1, True)


def test_what_is_due_by_a_day_expires_once(yipan: Yipan, known: dict[str, str]) -> None:
    assert yipan("points", "expire", "2026-03-03").out == "0 lot(s) expired\n"
    assert yipan("points", "expire", "2100-01-01").code == 4


def test_a_person_adjusts_merges_and_takes_it_back(yipan: Yipan, known: dict[str, str]) -> None:
    why = ("--reason", REASON)
    given = yipan("points", "adjust", "hub:C2", STARS, "50", "--number", "A1", *why, "--json").json
    assert given["repeated"] is False
    assert yipan("points", "adjust", "hub:C2", STARS, "--number", "A2", *why, "--", "-51").code == 4
    merged = yipan("points", "merge", "hub:C1", "hub:C2", "--number", "M1", *why, "--json").json
    both = yipan("points", "balance", "hub:C2", "--json").json
    assert both["wallet"] == [known["C1"], known["C2"]]
    undone = yipan("points", "unmerge", str(merged["merge_id"]), *why, "--json").json
    assert undone["holders"] == [known["C2"]]


def test_rules_are_checked_shown_and_listed(yipan: Yipan, known: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "points.toml"
    assert "in force" in yipan("points", "rules", "check", str(file)).out
    assert yipan("points", "rules", "show").out.strip() == RULES.strip()
    file.write_text(RULES.replace("per_minor = 100", "per_minor = -1"), "utf-8")
    refused = yipan("points", "rules", "check", str(file), "--json")
    assert (refused.code, "per_minor" in refused.json["issues"][0]["field"]) == (4, True)
    assert "per_minor" in yipan("points", "rules", "check", str(file)).out
    assert yipan("points", "rules", "publish", str(file), "--reason", REASON).code == 4
    assert len(yipan("points", "rules", "history", "--json").json) == 1
