"""Reckoning the books of points anew, and remembering that it was done: in the audit log."""

from canonical_model.store import ledger_journal
from canonical_model.store.ledger_checks import Told
from canonical_model.store.ledger_journal import Verified
from flows.runtime.bootstrap import Hub
from hub_api import audit
from hub_api.auth import Access
from hub_api.points_views import VERIFY


def verify(hub: Hub, access: Access, head: str | None = None, *, told: Told | None = None) -> Verified:
    """Read the group's whole journal, and reckon every balance, lot and hold.

    ``head``: one that was kept elsewhere. ``told`` hears what is gone through, how much of it was, of how much.
    The audit log keeps how many entries there were and how many things were wrong. RejectedError: ``points.head``.
    """
    access.require("points", "read")
    with hub.database.unit() as uow:
        verified = ledger_journal.verify(uow.connection, access.owner, sign=hub.vault.sign, expected=head, told=told)
    with hub.database.unit() as uow:
        detail = {"entries": verified.entries, "head": verified.head, "broken": len(verified.broken)}
        audit.record(uow, access, VERIFY, f"ledger:{access.owner}", detail)
        uow.commit()
    return verified
