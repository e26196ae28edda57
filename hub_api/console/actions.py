"""Everything the console can change, by name: the one way from a page to a write.

An action is a function ``(hub, access, **arguments)`` and the scope it needs. ``perform`` finds the session anew and
checks the scope each time; the functions behind it check and audit again, whoever calls them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from canonical_model.errors import NotFoundError, RejectedError
from flows.runtime.bootstrap import Hub
from flows.runtime.quarantine import Selection
from hub_api import (
    corrections,
    decisions,
    estate_view,
    operations,
    points_books,
    repair,
    routing_rules,
    stories,
    unmasking,
    what_if,
)
from hub_api import points as points_desk
from hub_api.auth import Access
from hub_api.console.visits import SessionEndedError, find_visit

WHAT_IF_S: Final = 20.0
Do = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Action:
    """A change that a person can make. ``needs`` is the scope's operation and target."""

    name: str
    needs: tuple[str, str]
    do: Do


_ACTIONS: Final[dict[str, Action]] = {}
ACTIONS: Final[Mapping[str, Action]] = _ACTIONS


def action(name: str, *, needs: tuple[str, str]) -> Callable[[Do], Do]:
    """Register a function ``(hub, access, **arguments)`` as the action ``name``."""

    def register(do: Do) -> Do:
        _ACTIONS[name] = Action(name, needs, do)
        return do

    return register


def perform(hub: Hub, token: str, name: str, **arguments: Any) -> Any:
    """Do the action for the holder of the session ``token``.

    Raises SessionEndedError (no session), AccessError (``access.scope``), NotFoundError (no such action), and what
    the action raises.
    """
    visit = find_visit(hub, token)
    if visit is None:
        raise SessionEndedError
    found = ACTIONS.get(name)
    if found is None:
        raise NotFoundError(f"the console has no action {name!r}", code="action.unknown")
    visit.access.require(*found.needs)
    return found.do(hub, visit.access, **arguments)


@action("run.retry", needs=("ops", "write"))
def retry_run(hub: Hub, access: Access, *, run_id: int, step: str | None = None) -> dict[str, Any]:
    """Let a parked run go on, or again from an earlier step."""
    return operations.retry(hub, access, run_id, step)


@action("run.cancel", needs=("ops", "write"))
def cancel_run(hub: Hub, access: Access, *, run_id: int) -> dict[str, Any]:
    """Ask a run to take back what it did."""
    return operations.cancel(hub, access, run_id)


@action("effect.settle", needs=("ops", "write"))
def settle_effect(
    hub: Hub, access: Access, *, run_id: int, effect_id: int, landed: bool, outside_id: str | None = None
) -> dict[str, Any]:
    """Say whether a write in doubt landed."""
    return operations.settle(hub, access, run_id, effect_id, landed=landed, outside_id=outside_id)


@action("effect.look", needs=("ops", "read"))
def look_for_effect(hub: Hub, access: Access, *, effect_id: int) -> Any:
    """Ask the destination whether a write in doubt landed; changes nothing."""
    return stories.evidence(hub, access, effect_id)


@action("message.replay", needs=("ops", "write"))
def replay_message(hub: Hub, access: Access, *, message_id: str) -> dict[str, Any]:
    """Ingest a stored message once more."""
    return repair.replay(hub, access, message_id)


@action("quarantine.refeed", needs=("ops", "write"))
def refeed(hub: Hub, access: Access, *, dry_run: bool = False, **criteria: Any) -> dict[str, Any]:
    """Feed quarantined records again; ``criteria`` are those of a Selection."""
    return repair.refeed(hub, access, Selection(access.owner, access.brand, **criteria), dry_run=dry_run)


@action("quarantine.discard", needs=("ops", "write"))
def discard(hub: Hub, access: Access, **criteria: Any) -> dict[str, Any]:
    """End quarantined records for good."""
    return repair.discard(hub, access, Selection(access.owner, access.brand, **criteria))


@action("quarantine.preview", needs=("data", "write"))
def preview_record(hub: Hub, access: Access, *, row_id: int, raw: str) -> Any:
    """How a corrected record would fare; changes nothing."""
    return corrections.preview(hub, access, row_id, raw.encode())


@action("quarantine.correct", needs=("data", "write"))
def correct_record(hub: Hub, access: Access, *, row_id: int, raw: str) -> dict[str, Any]:
    """Keep a corrected record and feed it again."""
    return corrections.correct(hub, access, row_id, raw.encode())


@action("mapping.try", needs=("data", "write"))
def try_mapping(hub: Hub, access: Access, *, system: str, stream: str, text: str, cause: str | None = None) -> Any:
    """What a mapping would change for the open records (of one cause); changes nothing."""
    selection = Selection(access.owner, access.brand, cause=cause)
    return corrections.try_mapping(hub, access, system, stream, text, selection)


@action("mapping.revise", needs=("data", "write"))
def revise_mapping(hub: Hub, access: Access, *, system: str, stream: str, text: str, reason: str) -> Any:
    """Put a mapping in force."""
    return corrections.revise_mapping(hub, access, system, stream, text, reason)


@action("mapping.activate", needs=("data", "write"))
def activate_mapping(hub: Hub, access: Access, *, system: str, stream: str, number: int | None, reason: str) -> Any:
    """Put an earlier revision, or the packaged mapping, in force again."""
    return corrections.activate_mapping(hub, access, system, stream, number, reason)


@action("personal.unmask", needs=("data", "unmask"))
def unmask(hub: Hub, access: Access, *, what: str, subject_id: str, reason: str) -> dict[str, Any]:
    """See personal values in the clear."""
    return unmasking.reveal(hub, access, what, subject_id, reason)


@action("lane.pause", needs=("estate", "write"))
def pause_lane(hub: Hub, access: Access, *, lane: str) -> Any:
    """Send nothing more to a destination."""
    return estate_view.pause(hub, access, lane)


@action("lane.resume", needs=("estate", "write"))
def resume_lane(hub: Hub, access: Access, *, lane: str) -> Any:
    """Send again."""
    return estate_view.resume(hub, access, lane)


@action("rules.check", needs=("ops", "read"))
def check_rules(hub: Hub, access: Access, *, text: str) -> Any:
    """What other routing rules would change; changes nothing."""
    return routing_rules.check_rules(hub, access, text)


@action("rules.publish", needs=("data", "write"))
def publish_rules(hub: Hub, access: Access, *, text: str, reason: str, against: int) -> int:
    """Put routing rules in force."""
    return routing_rules.publish_rules(hub, access, text, reason, against=against)


@action("order.try_rules", needs=("ops", "read"))
def try_rules(hub: Hub, access: Access, *, order_id: int, text: str, round_no: int | None = None) -> Any:
    """What other routing rules would have decided about an order; changes nothing."""
    return decisions.try_text(hub, access, order_id, text, round_no=round_no)


@action("rules.what_if", needs=("ops", "read"))
def ask_what_if(hub: Hub, access: Access, *, text: str, limit: int) -> Any:
    """How the newest orders would ship under other routing rules; changes nothing."""
    return what_if.what_if(hub, access, text, what_if.Asked(limit=limit), at_most_s=WHAT_IF_S)


@action("points.adjust", needs=("points", "adjust"))
def adjust_points(
    hub: Hub, access: Access, *, holder: str, programme: str, points: str, number: str, reason: str
) -> dict[str, Any]:
    """Give a member points, or take some; ``points`` as it was typed."""
    return points_desk.adjust(
        hub, access, number=number.strip(), programme=programme, holder=holder, points=_whole(points), reason=reason
    )


@action("points.merge", needs=("points", "adjust"))
def merge_points(hub: Hub, access: Access, *, kept: str, merged: str, number: str, reason: str) -> dict[str, Any]:
    """Let two members spend from one wallet."""
    return points_desk.merge(hub, access, number=number.strip(), kept=kept, merged=merged.strip(), reason=reason)


@action("points.unmerge", needs=("points", "adjust"))
def unmerge_points(hub: Hub, access: Access, *, merge_id: int, reason: str) -> dict[str, Any]:
    """Give each member of a merge a wallet of their own again."""
    return points_desk.unmerge(hub, access, merge_id, reason=reason)


@action("points.verify", needs=("points", "adjust"))
def verify_points(hub: Hub, access: Access) -> dict[str, Any]:
    """Reckon the books of points anew."""
    verified = points_books.verify(hub, access)
    return {"entries": verified.entries, "head": verified.head, "broken": len(verified.broken)}


def _whole(text: str) -> int:
    typed = text.strip().replace(",", "")
    if not re.fullmatch(r"[+-]?[0-9]{1,13}", typed):
        raise RejectedError(f"{text!r} is no whole number; write one such as 50 or -50", code="points.amount")
    return int(typed)
