"""SOAP to outside systems: zeep speaks the WSDL, our HTTP client carries it, every failure says what to do next.

client = SoapClient(FOLDER / "crm.wsdl", address=config.settings["base_url"], timeout_s=10)
answer = client.read("GetMembers", page=1, size=500)      # dicts, lists and plain values
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import zeep
import zeep.helpers
from lxml import etree
from zeep.exceptions import Error as ZeepError
from zeep.wsse.username import UsernameToken

from canonical_model.errors import (
    ConfigurationError,
    HubError,
    Issue,
    RecordError,
    RejectedError,
    TransientError,
    UncertainError,
)
from connectors.kit.http import MAX_RESPONSE_BYTES, MAX_WORDS, HttpClient, Response
from connectors.kit.soap_schema import find_local, load_schema
from connectors.kit.soap_validation import Validator, words
from connectors.kit.xml import safe_parser

SOAP_11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12: Final = "http://www.w3.org/2003/05/soap-envelope"

_SENDERS_FAULT: Final = frozenset({"Client", "Sender"})
_OUR_CREDENTIALS: Final = frozenset(
    {"FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken", "SecurityTokenUnavailable"}
)
_OUR_SETTING: Final = frozenset({"MustUnderstand", "VersionMismatch", "DataEncodingUnknown"})

_Client: Any = zeep.Client
_Token: Any = UsernameToken


class SoapClient:
    """One service of a WSDL file. Thread-safe; close it when done.

    ``address`` is where the service answers (the WSDL's own address is ignored). ``token`` is (user, password) for a
    WS-Security UsernameToken; ``digest`` sends it as a digest with nonce and time. ``port`` names a port of the WSDL
    (default: its first). Document/literal bodies are checked against the schema before they are sent, facets
    included; answers are taken as they come. ConfigurationError: the WSDL cannot be used, or would have to be
    fetched in part.
    """

    def __init__(
        self,
        wsdl: Path,
        *,
        address: str,
        timeout_s: float,
        port: str | None = None,
        token: tuple[str, str] | None = None,
        digest: bool = False,
        headers: Mapping[str, str] | None = None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        wsse = _Token(*token, use_digest=digest, zulu_timestamp=True) if token else None
        self._zeep = _open(wsdl, wsse)
        self._service = _bind(self._zeep, wsdl, port)
        self._validator = Validator(load_schema(wsdl))
        split = urlsplit(address)
        self._path = (split.path or "/") + (f"?{split.query}" if split.query else "")
        self._reads, self._writes = (
            HttpClient(
                f"{split.scheme}://{split.netloc}",
                timeout_s=timeout_s,
                headers=headers,
                explain=partial(_fault_in, write=write),
                max_response_bytes=max_response_bytes,
            )
            for write in (False, True)
        )

    def __enter__(self) -> "SoapClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every pooled connection."""
        self._reads.close()
        self._writes.close()

    def read(self, operation: str, /, **arguments: Any) -> Any:
        """Call an operation that changes nothing over there: up to three tries, ten seconds in all.

        Raises RecordError (the request breaks the schema; every violation), RejectedError (the other side says the
        request is wrong), TransientError, LimitError, ConfigurationError.
        """
        body, headers = self._request(operation, arguments)
        return self._answer(operation, self._reads.read("POST", self._path, content=body, headers=headers), write=False)

    def send(self, operation: str, /, **arguments: Any) -> Any:
        """Call an operation that changes something over there: sent once.

        Raises as ``read``, and UncertainError when it was sent and no usable answer came.
        """
        body, headers = self._request(operation, arguments)
        return self._answer(operation, self._writes.send("POST", self._path, content=body, headers=headers), write=True)

    def _request(self, operation: str, arguments: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        binding = self._service._binding
        if operation not in binding._operations:
            raise ConfigurationError(f"the WSDL has no operation {operation!r}; use one that it declares")
        try:
            envelope, headers = binding._create(operation, (), dict(arguments), client=self._zeep)
        except (ZeepError, TypeError, ValueError, LookupError) as error:
            raise RecordError([Issue("", "soap.request", f"{operation}: {error}; correct the request")]) from error
        if self._is_document(operation):
            self._check(envelope)
        return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8"), dict(headers)

    def _is_document(self, operation: str) -> bool:
        return str(self._service._binding.get(operation).style) == "document"

    def _check(self, envelope: etree._Element) -> None:
        body = envelope.find(f"{{{etree.QName(envelope).namespace}}}Body")
        issues = [
            Issue(violation.field, f"soap.{violation.code}", words(violation))
            for element in (body if body is not None else ())
            for violation in self._validator.violations(element)
        ]
        if issues:
            raise RecordError(issues, code="soap.request")

    def _check_answer(self, operation: str, envelope: etree._Element) -> None:
        """ValueError when a document/literal answer is not the element that the WSDL declares."""
        body = envelope.find(f"{{{etree.QName(envelope).namespace}}}Body")
        declared = self._service._binding.get(operation).output.body
        if body is None or (
            self._is_document(operation) and declared and [c.tag for c in body] != [declared.qname.text]
        ):
            raise ValueError("the Body is not what the WSDL declares")

    def _answer(self, operation: str, response: Response, *, write: bool) -> Any:
        try:
            envelope = parse_answer(response.content)
            fault = _fault(envelope, write=write)
            if fault is None:
                self._check_answer(operation, envelope)
                return _plain(self._service._binding.get(operation).process_reply(envelope))
        except (ZeepError, etree.XMLSyntaxError, TypeError, ValueError, LookupError) as error:
            detail = f"{operation}: the answer does not follow the WSDL ({type(error).__name__})"
            if write:
                raise UncertainError(f"{detail}; ask whether it landed", code="soap.answer", over=True) from error
            raise TransientError(f"{detail}; ask again, or get the present WSDL", code="soap.answer") from error
        raise fault


def parse_answer(content: bytes) -> etree._Element:
    """The envelope of an answer: no DTD, no entities, no network. Raises XMLSyntaxError, ValueError."""
    envelope = etree.fromstring(content, safe_parser())
    if cast(Any, envelope.getroottree().docinfo).doctype:
        raise ValueError("the answer has a DOCTYPE")
    if etree.QName(envelope).localname != "Envelope":
        raise ValueError("the answer is no SOAP envelope")
    return envelope


def _plain(value: Any) -> Any:
    """The objects of zeep as dicts, lists and plain values."""
    serialize: Any = zeep.helpers.serialize_object
    return serialize(value, dict)


class _LocalFiles(zeep.Transport):
    """What zeep loads, from this machine alone; it sends nothing by itself."""

    def __init__(self) -> None:
        self.cache = None
        self._close_session = False

    def load(self, url: str) -> bytes:
        found = find_local(url)
        if found is None:
            raise ConfigurationError(f"{url} would have to be fetched; put it beside the WSDL and import it from there")
        return found.read_bytes()


def _open(wsdl: Path, wsse: Any) -> Any:
    settings = zeep.Settings(strict=False, forbid_dtd=True, force_https=False)
    try:
        return _Client(str(wsdl.resolve()), wsse=wsse, transport=_LocalFiles(), settings=settings)
    except (OSError, ZeepError, etree.XMLSyntaxError, LookupError, ValueError) as error:
        raise ConfigurationError(f"{wsdl.name} is no usable WSDL: {type(error).__name__}: {error}") from error


def _bind(client: Any, wsdl: Path, port: str | None) -> Any:
    try:
        service = client.bind(port_name=port)
    except (ValueError, LookupError) as error:
        raise ConfigurationError(f"{wsdl.name} has no port {port!r}; use one that it declares") from error
    if service is None:
        raise ConfigurationError(f"{wsdl.name} declares no service; use the WSDL that does")
    return service


def _fault_in(response: Response, *, write: bool) -> HubError | None:
    """The error that a refusing answer means; None when it holds no fault and its status must do."""
    try:
        return _fault(parse_answer(response.content), write=write)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _fault(envelope: etree._Element, *, write: bool) -> HubError | None:
    space = etree.QName(envelope).namespace
    fault = envelope.find(f"{{{space}}}Body/{{{space}}}Fault")
    if fault is None:
        return None
    if space == SOAP_12:
        said = fault.findtext(f"{{{space}}}Reason/{{{space}}}Text") or ""
        codes = [(value.text or "").strip() for value in fault.iter(f"{{{space}}}Value")]
    else:
        said = fault.findtext("faultstring") or ""
        codes = [(fault.findtext("faultcode") or "").strip()]
    return translate_fault([code.rpartition(":")[2] for code in codes], said, write=write)


def translate_fault(codes: list[str], said: str, *, write: bool) -> HubError:
    """What a fault means: the sender's is a refusal; the receiver's may go better later, or may have landed."""
    line = " ".join("".join(c if c.isprintable() else " " for c in said[: MAX_WORDS * 4]).split())[:MAX_WORDS]
    detail = f"the other side answered with the fault {'/'.join(codes) or 'without a code'}: {line or 'no words'}"
    if _OUR_CREDENTIALS & set(codes):
        return ConfigurationError(f"{detail}; correct our credentials or ask for the right", code="soap.access")
    if _OUR_SETTING & set(codes):
        return ConfigurationError(f"{detail}; get the present WSDL and agree on the SOAP version", code="soap.version")
    if _SENDERS_FAULT & {code.partition(".")[0] for code in codes}:
        return RejectedError(detail, code="soap.fault")
    if write:
        return UncertainError(f"{detail}; ask whether it landed", code="soap.fault", over=True)
    return TransientError(f"{detail}; try again later", code="soap.fault")
