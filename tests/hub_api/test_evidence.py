"""A write in doubt: what was sent, what went wrong, and what the destination says when asked again."""

from typing import Any

import pytest

from canonical_model.errors import AccessError, NotFoundError, RejectedError, TransientError, UncertainError
from canonical_model.ports import Receipt
from flows.runtime.bootstrap import Hub
from flows.runtime.writers import BoundWriter
from hub_api.stories import evidence
from tests.hub_api.conftest import Client
from tests.hub_api.test_estate_view import sell
from tests.hub_api.test_stories import ME, PHONE, person


def lost_answer(*_: Any) -> Receipt:
    raise UncertainError("no answer within 10 s", code="http.timeout")


@pytest.fixture
def doubt(hub: Hub, client: Client, monkeypatch: pytest.MonkeyPatch) -> int:
    """A delivery order whose answer never came."""
    monkeypatch.setattr(BoundWriter, "write", lost_answer)
    sell(hub, client, "A1")
    hub.runner.work("wms")
    (effect,) = hub.database.run("SELECT id, state FROM effect")
    assert effect["state"] == "in_doubt"
    return int(effect["id"])


def answers(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[str]:
    """Let the destination answer so when asked; the keys that it was asked about."""
    asked: list[str] = []

    def find(_: BoundWriter, key: str) -> Any:
        asked.append(key)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(BoundWriter, "find", find)
    return asked


@pytest.mark.parametrize(
    ("answer", "says", "advice"),
    [
        (Receipt("WMS-9", {"status": "accepted", "receiver": {"mobile": PHONE}}), "landed", "settle it as landed"),
        (None, "absent", "not landed"),
        (TransientError("away"), "away", "ask again"),
        (UncertainError("slow"), "away", "ask again"),
        (RejectedError("not allowed to look"), "unable", "look in the destination itself"),
    ],
    ids=["landed", "absent", "away", "slow", "refused"],
)
def test_tells_what_the_destination_says_now(
    hub: Hub, doubt: int, monkeypatch: pytest.MonkeyPatch, answer: Any, says: str, advice: str
) -> None:
    asked = answers(monkeypatch, answer)
    found = evidence(hub, ME, doubt)
    assert found.read_back is not None
    assert (found.read_back.answer, found.idempotency) == (says, "read_back")
    assert advice in found.advice
    assert asked == [found.effect.key]
    assert (found.effect.state, found.effect.error and found.effect.error["code"]) == ("in_doubt", "http.timeout")
    assert PHONE not in str(found)


def test_shows_what_was_sent_masked(hub: Hub, doubt: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, None)
    found = evidence(hub, ME, doubt, ask=False)
    assert (found.read_back, asked) == (None, [])
    assert found.sent["order_no"] == "A1"
    assert found.sent["receiver"]["mobile"] == "138••••5678"
    assert found.sent["receiver"]["region_code"] == "330106"


def test_asks_without_a_transaction_open(hub: Hub, doubt: int, monkeypatch: pytest.MonkeyPatch) -> None:
    open_then: list[int] = []

    def find(_: BoundWriter, key: str) -> None:
        (row,) = hub.database.run(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%%'"
        )
        open_then.append(row["n"])

    monkeypatch.setattr(BoundWriter, "find", find)
    evidence(hub, ME, doubt)
    assert open_then == [0]


def test_silence_of_a_writer_that_cannot_look_proves_nothing(
    hub: Hub, doubt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.database.run("UPDATE effect SET writer = 'cancel_order'")
    answers(monkeypatch, None)
    found = evidence(hub, ME, doubt)
    assert found.read_back is not None
    assert found.read_back.answer == "unable"
    assert "sent again safely" in found.advice


def test_a_writer_that_the_estate_no_longer_has_is_not_asked(hub: Hub, doubt: int) -> None:
    hub.database.run("UPDATE effect SET writer = 'gone'")
    found = evidence(hub, ME, doubt)
    assert (found.read_back, found.idempotency) == (None, "none")


def test_an_erased_body_is_not_shown(hub: Hub, doubt: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, None)
    hub.database.run("UPDATE data_key SET wrapped = NULL WHERE id IN (SELECT body_key_id FROM effect)")
    assert evidence(hub, ME, doubt).sent is None


def test_is_for_those_who_may_and_for_what_is_theirs(hub: Hub, doubt: int) -> None:
    with pytest.raises(AccessError):
        evidence(hub, person("orders:read"), doubt)
    with pytest.raises(NotFoundError):
        evidence(hub, person(brand="sister"), doubt)
    with pytest.raises(NotFoundError):
        evidence(hub, ME, doubt + 1)
