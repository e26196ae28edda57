"""Seeing personal values in the clear: for a written reason, audited, and not too often."""

from typing import Any, Final

from flows.runtime.bootstrap import Hub
from hub_api.auth import Access

MIN_REASON: Final = 10


def reveal(hub: Hub, access: Access, what: str, subject_id: str, reason: str) -> dict[str, Any]:
    """The plain personal values of an ``order`` (its id), a ``message`` record (``msg_…:position``), a ``quarantine``
    row (its id) or a ``member`` (its code): ``{field: value}``. Needs ``data:unmask``.

    Raises AccessError, NotFoundError (also once erased), RejectedError (``reason.short``), LimitError
    (``unmask.rate``: too many of this person's in the last hour).
    """
    raise NotImplementedError
