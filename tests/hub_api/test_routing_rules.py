"""Routing rules as people work with them: what is in force, what a text would change, publishing it once."""

import pytest

from canonical_model.errors import AccessError, ConflictError, NotFoundError, RecordError, RejectedError
from flows.one_stock.routing.rulebook import DEFAULT
from flows.runtime.bootstrap import Hub
from hub_api import audit
from hub_api.auth import Access
from hub_api.routing_rules import check_rules, compared, publish_rules, rules_state
from tests.hub_api.conftest import BRAND, OWNER
from tests.hub_api.pool import DESK

RULES = 'parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 3\non_short = "partial"\n'
LIVE = RULES + "\n[channels.live]\nmax_parcels = 2\n"
WHY = "because the season begins"


def test_a_brand_without_a_rulebook_has_the_built_in_one(hub: Hub) -> None:
    found = rules_state(hub, DESK)
    assert (found.version, found.latest, found.text, found.history) == (0, 0, DEFAULT.text, [])


def test_what_is_published_is_in_force_and_in_the_audit_log(hub: Hub) -> None:
    assert publish_rules(hub, DESK, RULES, WHY, against=0) == 1
    assert publish_rules(hub, DESK, LIVE, WHY, against=1) == 2
    found = rules_state(hub, DESK)
    assert (found.version, found.note, found.published_by) == (2, WHY, "user:desk")
    assert [(own.channel, own.rule, own.before, own.after) for own in found.own] == [("live", "max_parcels", 3, 2)]
    assert [line for line in found.lines if line[0] == "+"] == ["+", "+[channels.live]", "+max_parcels = 2"]
    assert rules_state(hub, DESK, 1).text == RULES
    with hub.database.unit() as uow:
        entries = audit.list_entries(uow, audit.AuditFilter(OWNER, BRAND, action="rules.publish"))
    assert [(entry["subject"], entry["detail"]["reason"]) for entry in entries] == [("rules:2", WHY), ("rules:1", WHY)]


def test_a_check_lists_what_would_change_and_stores_nothing(hub: Hub) -> None:
    publish_rules(hub, DESK, LIVE, WHY, against=0)
    found = check_rules(hub, DESK, LIVE.replace("= 3", "= 4").replace("= 2", "= 1").replace("0.006", "0.008"))
    assert [(each.channel, each.rule, each.before, each.after) for each in found.changes] == [
        ("base", "max_parcels", 3, 4),
        ("base", "per_km", 0.006, 0.008),
        ("live", "max_parcels", 2, 1),
    ]
    assert rules_state(hub, DESK).latest == 1


def test_a_check_of_bad_rules_says_everything_that_is_wrong(hub: Hub) -> None:
    found = check_rules(hub, DESK, 'parcel_cost = -1\nper_km = "far"\nmax_parcels = 3\n')
    assert {issue.field for issue in found.issues} == {"parcel_cost", "per_km"}
    with pytest.raises(RecordError):
        publish_rules(hub, DESK, "parcel_cost =", WHY, against=0)


def test_rules_that_were_checked_against_others_are_not_published(hub: Hub) -> None:
    publish_rules(hub, DESK, RULES, WHY, against=0)
    with pytest.raises(ConflictError) as refused:
        publish_rules(hub, DESK, LIVE, WHY, against=0)
    assert refused.value.code == "rules.overtaken"
    assert rules_state(hub, DESK).latest == 1


def test_publishing_needs_the_right_and_a_reason(hub: Hub) -> None:
    with pytest.raises(RejectedError):
        publish_rules(hub, DESK, RULES, "short", against=0)
    with pytest.raises(AccessError):
        publish_rules(hub, Access("v", "v", OWNER, BRAND, frozenset({"ops:read"}), "user"), RULES, WHY, against=0)
    assert rules_state(hub, DESK).latest == 0


def test_a_version_that_there_is_not_is_said_to(hub: Hub) -> None:
    with pytest.raises(NotFoundError):
        rules_state(hub, DESK, 7)


def test_lines_far_from_a_change_are_left_out() -> None:
    old = "\n".join(f"line {n}" for n in range(40))
    assert compared(old, old) == []
    lines = compared(old, old.replace("line 5\n", "line five\n").replace("line 30\n", ""))
    assert [line for line in lines if line[0] != " "] == ["-line 5", "+line five", "-line 30"]
    assert lines.count(" …") == 1
    assert " line 20" not in lines
