"""Members are pulled once each, whatever their times say; later pulls bring who changed, also who came late."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from canonical_model.errors import ConfigurationError, RejectedError, TransientError
from canonical_model.ports import Page, Reader
from connectors.crm.client import CrmClient
from connectors.crm.streams import MemberReader, readers
from connectors.kit.manifest import load_manifest
from tests.connectors.crm.conftest import Crm

LONG_AGO = "2020-01-01 00:00:00"


def reader(crm: Crm, password: str = "yipan-demo") -> Reader:
    return readers(crm.config(password), load_manifest("crm"))["member_list"]


def pull(crm: Crm, cursor: str | None = None) -> tuple[list[str], str]:
    """Ids of the members that a pull brings, and where the next one begins."""
    pages = list(reader(crm).pages(cursor))
    assert pages[-1].cursor is not None
    return [member["memberId"] for page in pages for member in page.records], pages[-1].cursor


def earlier(seconds: int) -> str:
    return (datetime.now(ZoneInfo("Asia/Shanghai")) - timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")


def test_members_of_one_second_come_once_each_over_the_pages(crm: Crm) -> None:
    entered = crm.enter(*({"modifyTime": LONG_AGO} for _ in range(10)))
    pages = list(reader(crm).pages(None))
    assert [len(page.records) for page in pages] == [3, 3, 3, 1]
    assert [member["memberId"] for page in pages for member in page.records] == [row["memberId"] for row in entered]


def test_a_record_has_what_the_crm_knows_and_nothing_else(crm: Crm) -> None:
    crm.enter({"memberName": "陈一😀", "mobilePhone": "+86 138 0013 8000", "modifyTime": LONG_AGO})
    (page,) = reader(crm).pages(None)
    assert page.records == [
        {
            "memberId": "M00000001",
            "cardNo": "860000000001",
            "memberName": "陈一😀",
            "mobilePhone": "+86 138 0013 8000",
            "modifyTime": LONG_AGO,
        }
    ]


def test_the_next_pull_brings_only_who_changed(crm: Crm) -> None:
    crm.enter(*({"modifyTime": LONG_AGO} for _ in range(5)))
    _, cursor = pull(crm)
    assert pull(crm, cursor)[0] == []
    crm.enter({"memberId": "M00000002", "gradeCode": "04"})
    assert pull(crm, cursor)[0] == ["M00000002"]


def test_a_member_that_is_committed_late_is_not_missed(crm: Crm) -> None:
    crm.enter({"modifyTime": LONG_AGO})
    _, cursor = pull(crm)
    crm.enter({"modifyTime": earlier(120)})
    assert pull(crm, cursor)[0] == ["M00000002"]


def test_a_pull_that_stopped_goes_on_after_its_last_page_while_members_change(crm: Crm) -> None:
    crm.enter(*({"modifyTime": LONG_AGO} for _ in range(7)))
    first = next(reader(crm).pages(None))
    crm.enter({"memberId": "M00000001", "gradeCode": "04"}, {"modifyTime": LONG_AGO})
    rest, cursor = pull(crm, first.cursor)
    assert {member["memberId"] for member in first.records} | set(rest) == {f"M{n:08}" for n in range(1, 9)}
    assert rest[-1] == "M00000001"
    assert pull(crm, cursor)[0] == ["M00000001"]


def test_a_token_that_the_crm_no_longer_knows_starts_the_pull_again(crm: Crm) -> None:
    crm.enter(*({"modifyTime": LONG_AGO} for _ in range(4)))
    first = next(reader(crm).pages(None))
    assert first.cursor is not None
    forgotten = orjson.dumps({**orjson.loads(first.cursor), "token": "forgotten"}).decode()
    assert len(pull(crm, forgotten)[0]) == 4


def test_an_empty_crm_is_read_to_its_end(crm: Crm) -> None:
    assert pull(crm)[0] == []


def test_a_busy_crm_is_asked_again_later(crm: Crm) -> None:
    crm.control("PUT", "/_faults", {"busy": 1})
    with pytest.raises(TransientError, match="E900"):
        list(reader(crm).pages(None))


def test_a_wrong_password_is_a_matter_of_our_configuration(crm: Crm) -> None:
    with pytest.raises(ConfigurationError, match="FailedAuthentication"):
        list(reader(crm, "wrong").pages(None))


class Saying:
    """A client whose every query is answered with the same."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def read(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"resultCode": "E001", "resultMsg": "无权限"}, RejectedError),
        ({"resultCode": None}, RejectedError),
        ({"resultCode": "E901"}, TransientError),
        ({"resultCode": "0", "member": []}, TransientError),
        ({"resultCode": "0", "member": [], "serverTime": "noon"}, TransientError),
    ],
)
def test_what_is_no_answer_is_told_apart_by_what_to_do(
    crm: Crm, answer: dict[str, Any], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = CrmClient(crm.config(), timeout_s=5)
    monkeypatch.setattr(client, "_soap", Saying(answer))
    with pytest.raises(error):
        list[Page](MemberReader(client).pages(None))
