"""Every refusal as a SOAP fault, in Chinese and English: where, what, and what to do next.

The one border where a HubError becomes a fault. A sender's fault names field and place; a receiver's says when to
come again and never what went wrong inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from canonical_model.errors import HubError, RecordError, RejectedError
from connectors.kit.soap_validation import Violation, words
from hub_api.soap.envelope import SOAP_11, SOAP_12
from hub_api.soap.records import NAMESPACE, Operation
from hub_api.soap.security import WSSE
from hub_api.soap.words import LATER, zh_of_code, zh_of_violation

MEDIA_TYPES: Final = {SOAP_11: "text/xml; charset=utf-8", SOAP_12: "application/soap+xml; charset=utf-8"}
MAX_ISSUES: Final = 100
LATER_EN: Final = "the hub cannot take this now; send the same message with the same messageId again later"
INTERNAL_EN: Final = "something unexpected happened; tell the hub's operators the errorId"

SENDER, RECEIVER, NOT_UNDERSTOOD, VERSION = "Sender", "Receiver", "MustUnderstand", "VersionMismatch"
_OLD_NAMES: Final = {SENDER: "Client", RECEIVER: "Server"}
_ACCESS: Final = frozenset({"access", "access.stale", "access.replayed"})
_TOKEN: Final = "access.token"  # noqa: S105 - a code, no password

_FORBIDDEN: Final = {number: None for number in range(32) if chr(number) not in "\t\n\r"} | {0xFFFE: None, 0xFFFF: None}


@dataclass(frozen=True, slots=True)
class FaultIssue:
    """One thing wrong with one field, in both languages."""

    field: str
    code: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal. ``role`` is whose fault it is (SOAP 1.2's word), ``headers`` the header blocks not understood."""

    role: str
    code: str
    zh: str
    en: str
    issues: tuple[FaultIssue, ...] = ()
    error_id: str | None = None
    headers: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The HTTP status in SOAP 1.2; in 1.1 every fault is 500."""
        return 400 if self.role == SENDER else 500


class FaultError(Exception):
    """Stops a request with a fault that is no HubError of its own."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.en)
        self.fault = fault


def of_error(error: HubError, operation: Operation | None = None) -> Fault:
    """The fault that a HubError is. What is not the sender's to correct is not told to the sender."""
    if error.code == "soap.version":
        return Fault(VERSION, error.code, zh_of_code(error.code), error.detail)
    if not isinstance(error, RejectedError):
        return Fault(RECEIVER, error.code, LATER, LATER_EN)
    issues = error.issues if isinstance(error, RecordError) else ()
    found = tuple(
        FaultIssue(
            operation.place_of(issue.field) if operation else issue.field,
            issue.code,
            zh_of_code(issue.code),
            issue.detail,
        )
        for issue in issues[:MAX_ISSUES]
    )
    return Fault(SENDER, error.code, zh_of_code(error.code), error.detail, found)


def of_violations(violations: Sequence[Violation]) -> Fault:
    """The fault of a body that the schema forbids; it names every field, the first one in the words of the fault."""
    issues = tuple(FaultIssue(v.field, f"soap.{v.code}", zh_of_violation(v), words(v)) for v in violations[:MAX_ISSUES])
    first = issues[0]
    more = f" (+{len(issues) - 1})" if len(issues) > 1 else ""
    place = first.field or "Body"
    return Fault(SENDER, "soap.invalid", f"{place}：{first.zh}{more}", f"{place}: {first.en}{more}", issues)


def internal(error_id: str) -> Fault:
    """The fault of something that nobody foresaw."""
    return Fault(RECEIVER, "internal", zh_of_code("internal"), INTERNAL_EN, error_id=error_id)


def render(fault: Fault, version: str) -> bytes:
    """The envelope that carries ``fault`` in that SOAP version."""
    detail = _detail(fault)
    if version == SOAP_12:
        return _render_12(fault, detail)
    code = f"w:{_security_code(fault)}" if _security_code(fault) else f"s:{_OLD_NAMES.get(fault.role, fault.role)}"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{SOAP_11}" xmlns:w="{WSSE}"><s:Body><s:Fault>'
        f"<faultcode>{code}</faultcode><faultstring>{clean(f'{fault.zh} | {fault.en}')}</faultstring>"
        f"<detail>{detail}</detail></s:Fault></s:Body></s:Envelope>"
    ).encode()


def _render_12(fault: Fault, detail: str) -> bytes:
    security = _security_code(fault)
    subcode = f"<s:Subcode><s:Value>w:{security}</s:Value></s:Subcode>" if security else ""
    blocks = "".join(_not_understood(name) for name in fault.headers[:MAX_ISSUES])
    header = f"<s:Header>{blocks}</s:Header>" if blocks else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{SOAP_12}" xmlns:w="{WSSE}">{header}<s:Body>'
        f"<s:Fault><s:Code><s:Value>s:{fault.role}</s:Value>{subcode}</s:Code><s:Reason>"
        f'<s:Text xml:lang="zh-CN">{clean(fault.zh)}</s:Text><s:Text xml:lang="en">{clean(fault.en)}</s:Text>'
        f"</s:Reason><s:Detail>{detail}</s:Detail></s:Fault></s:Body></s:Envelope>"
    ).encode()


def _not_understood(name: str) -> str:
    space, _, local = name.removeprefix("{").rpartition("}")
    if not space:
        return f"<s:NotUnderstood qname={quoteattr(local)}/>"
    return f"<s:NotUnderstood qname={quoteattr(f'h:{local}')} xmlns:h={quoteattr(space)}/>"


def clean(text: str) -> str:
    """The text as XML content, without the characters that XML forbids."""
    if text.isprintable():
        return escape(text)
    return escape(text.translate(_FORBIDDEN).encode("utf-8", "replace").decode())


def render_issue(issue: FaultIssue) -> str:
    """An ``issue`` element, in the namespace around it."""
    return (
        f"<issue><field>{clean(issue.field)}</field><code>{clean(issue.code)}</code>"
        f"<zh>{clean(issue.zh)}</zh><en>{clean(issue.en)}</en></issue>"
    )


def _detail(fault: Fault) -> str:
    error_id = f"<errorId>{clean(fault.error_id)}</errorId>" if fault.error_id else ""
    issues = "".join(map(render_issue, fault.issues))
    return (
        f'<Problem xmlns="{NAMESPACE}"><code>{clean(fault.code)}</code><zh>{clean(fault.zh)}</zh>'
        f"<en>{clean(fault.en)}</en>{error_id}{issues}</Problem>"
    )


def _security_code(fault: Fault) -> str:
    if fault.code in _ACCESS:
        return "FailedAuthentication"
    return "InvalidSecurityToken" if fault.code == _TOKEN else ""
