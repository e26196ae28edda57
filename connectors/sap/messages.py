"""What SAP says when it says no: BAPIRET2 lists and OData errors, and what to do next."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from canonical_model.errors import HubError, RecordError, RejectedError, TransientError
from canonical_model.ports import Limits
from connectors.kit.xml import TEXT, parse_xml

MAX_TEXT: Final = 300
_LIMITS: Final = Limits(body_bytes=4 * 1024 * 1024, depth=20)
_LISTS: Final = ("RETURN.item", "innererror.errordetails.errordetail")

# Message class and number: credit checks of sales documents, and objects that another user has locked.
_CREDIT_CHECKS: Final = {("V1", f"{number:03}") for number in range(150, 157)}
_LOCKS: Final = {("V1", "042"), ("M3", "024"), ("M3", "682"), ("MC", "601"), ("VB", "147")}
_LOCK_WORDS: Final = ("being processed by", "is locked by", "locked by user")


class SapMessage(NamedTuple):
    """One message. ``severity`` is SAP's letter: S, I, W, E (error) or A (abort); ``cls`` and ``number`` name it."""

    severity: str
    cls: str
    number: str
    text: str

    @property
    def is_error(self) -> bool:
        return self.severity in {"E", "A"}

    @property
    def code(self) -> str:
        return ".".join(part for part in ("sap", self.cls.lower(), self.number) if part)

    @property
    def is_credit_block(self) -> bool:
        return (self.cls, self.number) in _CREDIT_CHECKS or self.cls.startswith("UKM")

    @property
    def is_lock(self) -> bool:
        return (self.cls, self.number) in _LOCKS or any(words in self.text.lower() for words in _LOCK_WORDS)


def parse_answer(body: bytes, media_type: str) -> dict[str, Any]:
    """An XML or JSON answer as a dict; ``{}`` when it is neither (a proxy's HTML page, an empty body)."""
    try:
        document = parse_xml(body, limits=_LIMITS, lists=_LISTS) if "xml" in media_type else orjson.loads(body)
    except (RecordError, orjson.JSONDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def messages_of(answer: Mapping[str, Any]) -> list[SapMessage]:
    """Every message in an answer: the BAPIRET2 list RETURN, an OData error in JSON, or one in XML."""
    returned = answer.get("RETURN") or []
    if isinstance(returned, Mapping):
        returned = returned.get("item") or []
    messages = [_bapi_message(item) for item in returned]
    error = answer.get("error", answer if "code" in answer and "message" in answer else None)
    if isinstance(error, Mapping):
        messages += _odata_messages(error)
    return messages


def refusal(messages: Iterable[SapMessage]) -> HubError | None:
    """The error these messages amount to, or None when none of them is an error.

    A credit block is RejectedError ``sap.credit_block``: a person releases it, the order stays sold. An object
    locked by another user is TransientError ``sap.locked``. Anything else is RejectedError ``sap.<class>.<number>``.
    """
    errors = [message for message in messages if message.is_error]
    if not errors:
        return None
    said = "; ".join(dict.fromkeys(f"{m.cls}/{m.number} {m.text}" if m.number else m.text for m in errors))[:MAX_TEXT]
    if any(message.is_credit_block for message in errors):
        return RejectedError(
            f"SAP's credit check stopped it: {said}; release the customer's credit, then go on", code="sap.credit_block"
        )
    if any(message.is_lock for message in errors):
        return TransientError(f"SAP is changing the same object: {said}; try again later", code="sap.locked")
    return RejectedError(f"SAP refused: {said}; correct what it names", code=errors[0].code)


def _bapi_message(item: Mapping[str, Any]) -> SapMessage:
    return SapMessage(*(str(item.get(name, "")) for name in ("TYPE", "ID", "NUMBER", "MESSAGE")))


def _odata_messages(error: Mapping[str, Any]) -> list[SapMessage]:
    details = (error.get("innererror") or {}).get("errordetails") or []
    if isinstance(details, Mapping):
        details = details.get("errordetail") or []
    messages = [_odata_message(item) for item in details if item.get("severity", "error") == "error"]
    return messages or [_odata_message(error)]


def _odata_message(error: Mapping[str, Any]) -> SapMessage:
    cls, _, number = str(error.get("code", "")).rpartition("/")
    text = error.get("message", "")
    if isinstance(text, Mapping):
        text = text.get("value") or text.get(TEXT, "")
    return SapMessage("E", cls or number, number if cls else "", str(text))
