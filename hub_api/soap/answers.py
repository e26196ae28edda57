"""What became of a message, as the response element of its operation."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from canonical_model.ports import StreamSpec
from flows.ingest.intake import MAX_SOURCE_ID
from flows.ingest.messages import get_message
from flows.runtime.bootstrap import Hub
from hub_api.results import read_results
from hub_api.soap.faults import FaultIssue, clean, render_issue
from hub_api.soap.records import NAMESPACE, Operation
from hub_api.soap.words import zh_of_code

APPLIED: Final = "applied"
ACCEPTED: Final = "accepted"


def render_answer(operation: Operation, version: str, message_id: str, document: Mapping[str, Any]) -> bytes:
    """The envelope of an answer; ``document`` is what ``results.read_results`` says of the message."""
    results = "".join([_result(operation, result) for result in document.get("results", ())])
    counts = "".join(f"<{name}>{document[name]}</{name}>" for name in ("records", "accepted", "quarantined", "ignored"))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{version}"><s:Body>'
        f'<{operation.name}Response xmlns="{NAMESPACE}"><messageId>{clean(message_id)}</messageId>'
        f"<hubMessageId>{document['message_id']}</hubMessageId><state>{document['state']}</state>{counts}{results}"
        f"</{operation.name}Response></s:Body></s:Envelope>"
    ).encode()


def read_answer(hub: Hub, message_id: str, spec: StreamSpec, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """As ``read_results`` of that message. When all ``records``, just sent, were accepted, they are not read again."""
    with hub.database.unit() as uow:
        message = get_message(uow.connection, message_id)
        names = [record.get(spec.key) for record in records]
        all_taken = message["state"] == APPLIED and message["accepted"] == len(records)
        if spec.personal or not all_taken or None in names:
            return read_results(uow, message)
    results = [
        {"position": position, "status": ACCEPTED, "source_id": str(name)[:MAX_SOURCE_ID], "issues": ()}
        for position, name in enumerate(names)
    ]
    return {
        "message_id": message_id,
        "state": APPLIED,
        "records": len(records),
        "accepted": len(records),
        "quarantined": 0,
        "ignored": 0,
        "results": results,
    }


def _result(operation: Operation, result: Mapping[str, Any]) -> str:
    source = result["source_id"]
    issues = "".join([_issue(operation, issue) for issue in result["issues"]]) if result["issues"] else ""
    return (
        f"<result><position>{result['position'] + 1}</position><status>{result['status']}</status>"
        f"{f'<sourceId>{clean(source)}</sourceId>' if source is not None else ''}{issues}</result>"
    )


def _issue(operation: Operation, issue: Mapping[str, str]) -> str:
    code = issue["code"]
    return render_issue(FaultIssue(operation.place_of(issue["field"]), code, zh_of_code(code), issue["detail"]))
