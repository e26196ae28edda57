"""Members by SOAP: everyone once, then whoever changed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson

from canonical_model.errors import LimitError, RejectedError, TransientError
from canonical_model.ports import Manifest, Page, Reader, SystemConfig
from connectors.crm.client import MAX_PAGES, CrmClient, present

READ_TIMEOUT_S: Final = 30.0
LATE_COMMIT_S: Final = 300
TIME: Final = "%Y-%m-%d %H:%M:%S"


def readers(config: SystemConfig, manifest: Manifest) -> dict[str, Reader]:
    """The pulled streams, by name."""
    return {"member_list": MemberReader(CrmClient(config, timeout_s=READ_TIMEOUT_S))}


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a pull goes on: who changed ``since`` (None: everyone), after the page ``token``.

    ``begun``: the CRM's clock at the pull's first page.
    """

    since: str | None = None
    token: str | None = None
    begun: str | None = None

    @classmethod
    def read(cls, cursor: str | None) -> "_Position":
        return cls() if cursor is None else cls(**orjson.loads(cursor))

    def cursor(self) -> str:
        return orjson.dumps(asdict(self)).decode()


class MemberReader:
    """Pages by the CRM's own token, which goes on after (modifyTime, memberId): members of one second are not split.

    The next pull begins LATE_COMMIT_S before this one began, by the CRM's clock, since a member whose time is older
    may be committed later; who comes twice by that is the same member again. A token that the CRM no longer knows
    starts the pull again.
    """

    def __init__(self, client: CrmClient) -> None:
        self._client = client

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """Pages after ``cursor``; the last one's cursor is where the next pull begins. LimitError after MAX_PAGES."""
        position = _Position.read(cursor)
        resumed = position.token is not None
        for _ in range(MAX_PAGES):
            try:
                answer = self._client.query("QueryMembers", modifiedSince=position.since, pageToken=position.token)
            except RejectedError:
                if not resumed:
                    raise
                position, resumed = _Position(position.since), False
                continue
            resumed = False
            begun, token = position.begun or _time_of(answer.get("serverTime")), answer.get("nextPageToken")
            following = _Position(position.since, token, begun) if token else _Position(_earlier(begun))
            yield Page([present(member) for member in answer.get("member") or ()], following.cursor())
            if token is None:
                return
            position = following
        raise LimitError(
            f"the CRM has more than {MAX_PAGES} pages of members; let it send larger ones", code="crm.pages"
        )


def _time_of(server_time: str | None) -> str:
    """The CRM's clock; TransientError when it does not tell the time, without which no pull can end."""
    try:
        return datetime.strptime(server_time or "", TIME).strftime(TIME)  # noqa: DTZ007 - as the CRM writes it
    except ValueError as error:
        raise TransientError("QueryMembers answered without a serverTime; ask again later", code="crm.clock") from error


def _earlier(moment: str) -> str:
    begun = datetime.strptime(moment, TIME)  # noqa: DTZ007 - the CRM's own clock, compared with itself only
    return (begun - timedelta(seconds=LATE_COMMIT_S)).strftime(TIME)
