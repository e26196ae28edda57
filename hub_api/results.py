"""What became of each record of a message."""

from collections.abc import Mapping
from typing import Any, Final

from flows.ingest.messages import record_results
from flows.runtime.database import UnitOfWork

COUNTS: Final = ("records", "accepted", "quarantined", "ignored")


def read_results(uow: UnitOfWork, message: Mapping[str, Any]) -> dict[str, Any]:
    """The state and counts of a message row; once it is applied, ``results`` says what became of each record."""
    answer = {"message_id": message["id"], "state": message["state"], **{name: message[name] for name in COUNTS}}
    if message["applied_at"] is None:
        return answer
    return {**answer, "results": record_results(uow, message["id"])}
