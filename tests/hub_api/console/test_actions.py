"""Everything the console can change: each action with every role and with nobody, and no way round it."""

import ast
from pathlib import Path
from typing import Any, Final

import pytest

from canonical_model.errors import AccessError, HubError
from flows.runtime.bootstrap import Hub
from hub_api import audit, sessions
from hub_api.console import actions, pages
from hub_api.console.actions import ACTIONS, perform
from hub_api.console.visits import SessionEndedError
from hub_api.roles import ROLES
from tests.hub_api.console.conftest import begin

OPERATORS: Final = "operator steward admin"
DATA: Final = "steward integrator admin"
EVERYBODY: Final = "viewer operator steward finance integrator admin"
MAY: Final = {
    "run.retry": OPERATORS,
    "run.cancel": OPERATORS,
    "effect.settle": OPERATORS,
    "effect.look": EVERYBODY,
    "message.replay": OPERATORS,
    "quarantine.refeed": OPERATORS,
    "quarantine.discard": OPERATORS,
    "quarantine.preview": DATA,
    "quarantine.correct": DATA,
    "mapping.try": DATA,
    "mapping.revise": DATA,
    "mapping.activate": DATA,
    "personal.unmask": "steward admin",
    "points.adjust": "steward admin",
    "points.merge": "steward admin",
    "points.unmerge": "steward admin",
    "points.verify": "steward admin",
    "lane.pause": OPERATORS,
    "lane.resume": OPERATORS,
    "order.try_rules": EVERYBODY,
    "rules.check": EVERYBODY,
    "rules.publish": DATA,
    "rules.what_if": EVERYBODY,
}
ARGUMENTS: Final[dict[str, dict[str, Any]]] = {
    "run.retry": {"run_id": 1},
    "run.cancel": {"run_id": 1},
    "effect.settle": {"run_id": 1, "effect_id": 1, "landed": False},
    "effect.look": {"effect_id": 1},
    "message.replay": {"message_id": "msg_1"},
    "quarantine.refeed": {"ids": [1]},
    "quarantine.discard": {"ids": [1]},
    "quarantine.preview": {"row_id": 1, "raw": "{}"},
    "quarantine.correct": {"row_id": 1, "raw": "{}"},
    "mapping.try": {"system": "pos", "stream": "sales", "text": "not a table"},
    "mapping.revise": {"system": "pos", "stream": "sales", "text": "not a table", "reason": "a reason that is long"},
    "mapping.activate": {"system": "pos", "stream": "sales", "number": 7, "reason": "a reason that is long"},
    "personal.unmask": {"what": "order", "subject_id": "1", "reason": "a reason that is long"},
    "points.adjust": {
        "holder": "1",
        "programme": "brand/stars",
        "points": "50",
        "number": "A1",
        "reason": "a reason that is long",
    },
    "points.merge": {"kept": "1", "merged": "2", "number": "M1", "reason": "a reason that is long"},
    "points.unmerge": {"merge_id": 1, "reason": "a reason that is long"},
    "points.verify": {},
    "lane.pause": {"lane": "nowhere"},
    "lane.resume": {"lane": "nowhere"},
    "order.try_rules": {"order_id": 1, "text": "not a rulebook"},
    "rules.check": {"text": "not a rulebook"},
    "rules.what_if": {"text": "not a rulebook", "limit": 10},
    "rules.publish": {"text": "not a rulebook", "reason": "a reason that is long", "against": 0},
}
PAGES_FOLDER: Final = Path(pages.__file__).parent
READING: Final = {
    "corrections": {"read_editable", "mapping_state"},
    "estate_view": {"systems", "lanes"},
    "decisions": {"order_decisions", "try_version"},
    "points_views": {
        "list_due",
        "list_issuers",
        "list_programmes",
        "list_transfers",
        "read_as_of",
        "read_journal",
        "read_member",
        "read_proofs",
        "read_transfer",
        "read_why",
    },
    "routing_rules": {"rules_state"},
    "stories": {"search", "story"},
    "stock_view": {"read_channels", "read_ledger", "read_moves", "read_pool", "search_goods"},
}


def test_the_table_names_every_action_and_no_other() -> None:
    assert set(ACTIONS) == set(MAY) == set(ARGUMENTS)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_does_what_it_may_and_nothing_else(hub: Hub, role: str) -> None:
    token = begin(hub, "anna", role)
    for name, roles in MAY.items():
        refused = _is_refused(hub, token, name)
        assert refused == (role not in roles.split()), f"{role} {name}"


def test_without_a_session_nothing_is_done(hub: Hub) -> None:
    ended = begin(hub, "anna", "admin")
    sessions.sign_out(hub.database, ended)
    for name in ACTIONS:
        for token in ("", "made up", ended):
            with pytest.raises(SessionEndedError):
                perform(hub, token, name, **ARGUMENTS[name])


def test_an_action_that_there_is_not_is_refused(hub: Hub) -> None:
    with pytest.raises(HubError, match="no action"):
        perform(hub, begin(hub, "anna", "admin"), "database.drop")


def test_a_role_taken_away_counts_from_the_next_action_on(hub: Hub) -> None:
    token = begin(hub, "anna", "admin")
    hub.database.run("DELETE FROM person_role WHERE login = 'anna'")
    with pytest.raises(SessionEndedError):
        perform(hub, token, "lane.pause", lane="wms")


def test_what_is_done_is_in_the_audit_log_under_the_persons_name(hub: Hub) -> None:
    hub.database.run("INSERT INTO lane (name) VALUES ('wms')")
    perform(hub, begin(hub, "anna", "operator"), "lane.pause", lane="wms")
    with hub.database.unit() as uow:
        entries = audit.list_entries(uow, audit.AuditFilter(hub.estate.owner, hub.estate.brand, action="lane.pause"))
    assert [entry["actor"] for entry in entries] == ["user:anna"]
    assert audit.verify(hub.database).broken is None


def test_pages_read_through_their_view_and_write_through_actions_only() -> None:
    """A page knows of the services only what reads; everything else it asks its view to perform."""
    for path in PAGES_FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("flows", "hub_api")):
                _check_import(path, node)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in READING:
                assert node.attr in READING[node.value.id], f"{path.name}:{node.lineno} uses {node.attr}"
            assert not (isinstance(node, ast.Attribute) and node.attr in ("database", "runner", "vault")), path.name


def _check_import(path: Path, node: ast.ImportFrom) -> None:
    names = {name.name for name in node.names}
    if node.module == "hub_api":
        assert names <= set(READING), f"{path.name}:{node.lineno} imports {names}"
    elif (node.module or "").removeprefix("hub_api.") in {*READING, "messages"}:
        assert all(name[0].isupper() for name in names), f"{path.name}:{node.lineno} imports {names}"
    else:
        assert (node.module or "").startswith("hub_api.console"), f"{path.name}:{node.lineno} imports {node.module}"


def _is_refused(hub: Hub, token: str, name: str) -> bool:
    """Whether the role is refused; that there is nothing to work on is another answer."""
    try:
        perform(hub, token, name, **ARGUMENTS[name])
    except AccessError as error:
        return error.code == "access.scope"
    except HubError:
        return False
    return False


def test_every_action_says_what_it_does() -> None:
    for name, action in ACTIONS.items():
        assert action.do.__doc__, name
    assert actions.__doc__
