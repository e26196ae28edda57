"""Rules of transfers between places."""

from typing import Any

import pytest
from pydantic import ValidationError

from canonical_model.transfer import Transfer
from tests.canonical_model.examples import SOURCED, WHEN


def line(**changes: Any) -> dict[str, Any]:
    return {"line_no": 1, "sku": "A001-RED-M", "quantity": 20, **changes}


def transfer(**changes: Any) -> Transfer:
    given = {"number": "DB1", "from_location": "W1", "to_location": "S001", "status": "shipped", "lines": [line()]}
    return Transfer.model_validate({**SOURCED, **given, **changes})


def test_a_transfer_says_what_left_and_what_arrived() -> None:
    made = transfer(lines=[line(shipped=18, received=17)], shipped_at=WHEN)
    assert [(one.quantity, one.shipped, one.received) for one in made.lines] == [(20, 18, 17)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"to_location": "W1"}, "to itself"),
        ({"lines": []}, "lines"),
        ({"lines": [line(), line()]}, "line numbers repeat"),
        ({"lines": [line(quantity=0)]}, "quantity"),
        ({"lines": [line(shipped=-1)]}, "shipped"),
        ({"lines": [line(received=1.5)]}, "received"),
        ({"status": "lost"}, "status"),
        ({"shipped_at": "2026-03-08 10:15:00"}, "shipped_at"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        transfer(**changes)
