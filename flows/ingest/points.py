"""Points entries of a message: each once, for a member of ours."""

from canonical_model.errors import Issue
from canonical_model.store import crosswalk, points
from flows.ingest.batch import Batch, Ignored, Outcome, Refusal, Values, unknown_reference
from flows.ingest.intake import Intake
from flows.runtime.database import UnitOfWork
from flows.runtime.quarantine import Missing


def apply_points(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Add the entries; refuse those of members not known yet, and those that say something else under a known id."""
    head = batch.head
    known = crosswalk.resolve(
        uow.connection,
        owner=head.owner,
        brand=head.brand,
        kind="member",
        scheme=head.system,
        outside_ids=sorted({value["member"] for value in values.values()}),
    )
    outcome = Outcome(
        refused={
            index: unknown_reference(Missing(head.system, "member", value["member"]), "member")
            for index, value in values.items()
            if value["member"] not in known
        }
    )
    indexes = [index for index in values if index not in outcome.refused]
    entries = [values[index] for index in indexes]
    added = points.add_entries(uow.connection, entries, [known[entry["member"]] for entry in entries])
    outcome.ignored |= {indexes[position]: Ignored.DUPLICATE for position in added.duplicates}
    outcome.refused |= {indexes[position]: _conflict(entries[position]["source"]["id"]) for position in added.conflicts}
    return outcome


def _conflict(entry_id: str) -> Refusal:
    detail = (
        f"entry {entry_id!r} is known with other content; an entry does not change, "
        "send the difference under an id of its own"
    )
    return Refusal((Issue("id", "points.conflict", detail),))
