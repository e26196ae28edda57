"""The error tree, grouped by what to do next.

    HubError
    ├── TransientError       wait and try again          (connection refused, 503, deadlock)
    ├── RejectedError        the answer is no            (refused write, invalid record)
    │   ├── RecordError      one record cannot be read   (goes to quarantine with every issue)
    │   ├── NotFoundError    nothing under that name
    │   ├── ConflictError    the same key, another body
    │   ├── LimitError       over a stated limit
    │   └── AccessError      no key, wrong key, wrong scope
    ├── UncertainError       a write may have landed     (timeout after sending)
    └── ConfigurationError   a person must change a setting

Every foreign exception is translated into one of these at the border where it appears.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with one field of one record.

    field: path in the source's own words, such as ``Lines[2].Qty``; empty for the whole record.
    code: stable machine word, such as ``quantity.negative``; identical codes are grouped.
    detail: one sentence that says what was found and what to do next.
    """

    field: str
    code: str
    detail: str


class HubError(Exception):
    """Base of every error the hub raises on purpose.

    detail: one sentence for a person, ending in what to do next. code: stable machine word.
    context: names of the record, system, stream or field concerned; never personal data or secrets.
    """

    recovery: ClassVar[str] = "person"
    default_code: ClassVar[str] = "hub.error"

    def __init__(self, detail: str, *, code: str | None = None, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.context = context


class TransientError(HubError):
    """Worth another try later. ``after_s`` in the context is the other side's own wish, if it said one."""

    recovery = "retry"
    default_code = "transient"


class RejectedError(HubError):
    """The other side, or our own rule, said no; the same request will get the same answer."""

    recovery = "reject"
    default_code = "rejected"


class RecordError(RejectedError):
    """One record cannot be taken as it is; carries every issue found, not just the first."""

    default_code = "record.invalid"

    def __init__(self, issues: Sequence[Issue], **context: Any) -> None:
        super().__init__("; ".join(f"{i.field or 'record'}: {i.detail}" for i in issues), **context)
        self.issues = tuple(issues)


class NotFoundError(RejectedError):
    """Nothing is known under that name."""

    default_code = "not_found"


class ConflictError(RejectedError):
    """The key was used before for something else."""

    default_code = "conflict"


class LimitError(RejectedError):
    """Over a stated limit; the detail names the limit and the setting that holds it."""

    default_code = "limit"


class AccessError(RejectedError):
    """No credential, a wrong one, or one whose scope does not reach this far."""

    default_code = "access"


class UncertainError(HubError):
    """A write was sent and its answer never came: it may have landed. Ask before sending again.

    ``over`` in the context: the other side answered or hung up, so nothing is on its way any more; without it
    (a timeout) the write may still land later.
    """

    recovery = "uncertain"
    default_code = "uncertain"


class ConfigurationError(HubError):
    """Nothing but a changed setting, file or installed driver helps; the detail names it."""

    recovery = "configure"
    default_code = "configuration"
