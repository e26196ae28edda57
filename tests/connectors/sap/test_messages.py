import orjson
import pytest

from canonical_model.errors import RejectedError, TransientError
from connectors.sap.client import quoted
from connectors.sap.messages import SapMessage, messages_of, parse_answer, refusal

BAPI_XML = b"""<R><RETURN>
<item><TYPE>S</TYPE><ID>V1</ID><NUMBER>233</NUMBER><MESSAGE>processed</MESSAGE></item>
<item><TYPE>E</TYPE><ID>V1</ID><NUMBER>150</NUMBER><MESSAGE>limit exceeded</MESSAGE></item>
</RETURN></R>"""
ATOM_ERROR = b"""<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code>V1/042</code>
<message xml:lang="en">Sales document 4969 is currently being processed</message>
<innererror><errordetails/></innererror></error>"""
JSON_ERROR = orjson.dumps(
    {
        "error": {
            "code": "SY/530",
            "message": {"lang": "en", "value": "An exception was raised"},
            "innererror": {
                "errordetails": [
                    {"code": "V1/150", "message": "limit exceeded", "severity": "error"},
                    {"code": "V1/233", "message": "look at the log", "severity": "info"},
                ]
            },
        }
    }
)


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (BAPI_XML, "application/xml; charset=utf-8", [("V1", "233"), ("V1", "150")]),
        (ATOM_ERROR, "application/atom+xml", [("V1", "042")]),
        (JSON_ERROR, "application/json", [("V1", "150")]),
        (b'{"RETURN": [{"TYPE": "A", "ID": "V1", "NUMBER": "152"}]}', "application/json", [("V1", "152")]),
        (b"<html><body>Bad gateway</body></html>", "text/html", []),
        (b"", "application/xml", []),
        (b'{"error": "boom"}', "application/json", []),
        (b"[1, 2]", "application/json", []),
    ],
)
def test_every_dialect_of_an_answer_is_read(body: bytes, media_type: str, expected: list[tuple[str, str]]) -> None:
    messages = messages_of(parse_answer(body, media_type))
    assert [(message.cls, message.number) for message in messages] == expected


def message(severity: str, cls: str, number: str, text: str = "") -> SapMessage:
    return SapMessage(severity, cls, number, text)


def test_success_and_warnings_refuse_nothing() -> None:
    assert refusal([message("S", "V1", "311"), message("W", "V1", "150"), message("I", "V4", "1")]) is None


def test_a_credit_block_outweighs_what_else_is_wrong() -> None:
    error = refusal([message("E", "V4", "219"), message("E", "V1", "154")])
    assert isinstance(error, RejectedError)
    assert error.code == "sap.credit_block"


@pytest.mark.parametrize(
    "locked", [message("E", "M3", "024"), message("A", "ZZ", "001", "Object is locked by user CHEN")]
)
def test_a_lock_passes(locked: SapMessage) -> None:
    assert isinstance(refusal([locked]), TransientError)


def test_anything_else_is_grouped_by_its_message() -> None:
    error = refusal([message("E", "VP", "204", "x" * 5000)])
    assert isinstance(error, RejectedError)
    assert error.code == "sap.vp.204"
    assert len(error.detail) < 500


def test_a_quote_stays_inside_its_literal() -> None:
    assert quoted("O'Neill' or 1 eq 1") == "'O''Neill'' or 1 eq 1'"
