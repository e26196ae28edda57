"""Who may push: keys and accounts; a digest is good once and for five minutes; everything else is refused alike."""

import asyncio
import base64
import hashlib
import secrets
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import httpx
import pytest
from lxml import etree

from canonical_model.errors import AccessError, ConflictError, HubError, NotFoundError, RejectedError
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access, create_key
from hub_api.rest.app import create_app
from hub_api.soap.accounts import create_account, list_accounts, revoke_account, use_nonce
from hub_api.soap.door import PARSED_AT_ONCE
from hub_api.soap.envelope import Envelope, read_envelope
from hub_api.soap.faults import Fault, of_error
from hub_api.soap.records import Operation
from hub_api.soap.security import DIGEST, TEXT, WSSE, WSU
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.soap.messages import MEDIA_TYPES, SOAP_11, SOAP_12, envelope, operation, product, read, text

NAME: Final = "drp@hub"

Send = Callable[..., httpx.Response]


@pytest.fixture
def password(hub: Hub) -> str:
    """The password of an account that may push as ``hub``."""
    return create_account(hub.database, owner=OWNER, brand=BRAND, name=NAME, scopes=["ingest:hub"])


@pytest.fixture
def send(client: Client) -> Send:
    """Pushes a product under a Security header."""

    def push(security: str, version: str = SOAP_11) -> httpx.Response:
        body = envelope(operation("PushProducts", product()), header=security, version=version)
        return client().post("/soap/v1", content=body, headers={"Content-Type": MEDIA_TYPES[version]})

    return push


def security(inside: str) -> str:
    return f'<w:Security xmlns:w="{WSSE}" xmlns:u="{WSU}" s:mustUnderstand="1">{inside}</w:Security>'


def as_text(password: str, name: str = NAME) -> str:
    """A token with the password itself."""
    shown = f'<w:Password Type="{TEXT}">{password}</w:Password>'
    return security(f"<w:UsernameToken><w:Username>{name}</w:Username>{shown}</w:UsernameToken>")


def as_digest(
    password: str,
    name: str = NAME,
    *,
    nonce: bytes | None = None,
    created: datetime | str | None = None,
    sent_nonce: str | None = None,
) -> str:
    """A token with a digest; ``sent_nonce`` is what stands in the message instead of the right nonce element."""
    nonce = nonce or secrets.token_bytes(16)
    made = created if isinstance(created, str) else (created or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = base64.b64encode(hashlib.sha1(nonce + made.encode() + password.encode()).digest()).decode()
    shown = f"<w:Nonce>{base64.b64encode(nonce).decode()}</w:Nonce>" if sent_nonce is None else sent_nonce
    return security(
        f'<w:UsernameToken><w:Username>{name}</w:Username><w:Password Type="{DIGEST}">{digest}</w:Password>'
        f"{shown}<u:Created>{made}</u:Created></w:UsernameToken>"
    )


def code_of(response: httpx.Response) -> str | None:
    return text(read(response.content), "detail/Problem/code")


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12], ids=["1.1", "1.2"])
@pytest.mark.parametrize("dress", [as_text, as_digest])
def test_an_account_pushes(send: Send, password: str, dress: Callable[[str], str], version: str) -> None:
    assert send(dress(password), version).status_code == 200


def test_a_key_may_stand_in_the_header_or_in_the_token(hub: Hub, client: Client, send: Send) -> None:
    key = create_key(hub.database, owner=OWNER, brand=BRAND, name="k", scopes=["ingest:hub"])
    assert send(as_text(key, "whoever")).status_code == 200
    assert code_of(send(as_text(f"{key}x", "whoever"))) == "access"
    body = envelope(operation("PushProducts", product()))
    assert client("ingest:hub").post("/soap/v1", content=body, headers={"Content-Type": "text/xml"}).status_code == 200


def test_nobody_is_refused_in_both_versions(client: Client) -> None:
    for version, status in ((SOAP_11, 500), (SOAP_12, 400)):
        body = envelope(operation("PushProducts", product()), version=version)
        response = client().post("/soap/v1", content=body, headers={"Content-Type": MEDIA_TYPES[version]})
        assert response.status_code == status
        assert "FailedAuthentication" in response.text


@pytest.mark.parametrize("dress", [lambda: "", lambda: as_text("wrong"), lambda: as_digest("wrong")])
def test_what_a_stranger_sends_is_never_built(
    client: Client, monkeypatch: pytest.MonkeyPatch, dress: Callable[[], str]
) -> None:
    built: list[bytes] = []
    monkeypatch.setattr("hub_api.soap.door.read_envelope", lambda body, _: built.append(body))
    for body in ("", "<never closed", "<a>" * 10_000):
        sent = envelope("<a/>" * 10_000 + body, header=dress())
        response = client().post("/soap/v1", content=sent, headers={"Content-Type": "text/xml"})
        assert code_of(response) == "access"
    assert built == []


@pytest.mark.parametrize("path", ["/soap/v1", "/v1/ingest/hub/products", "/v1/orders"])
def test_an_unknown_key_is_refused_before_the_body_is_read(hub: Hub, path: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise AssertionError("the body was read")

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(hub)), base_url="http://hub") as caller:
            return await caller.post(path, content=body(), headers={"Authorization": "Bearer yk_1_2"})

    assert asyncio.run(send()).status_code == (500 if path == "/soap/v1" else 401)


def test_strangers_who_stop_half_way_stop_nobody_else(hub: Hub) -> None:
    key = create_key(hub.database, owner=OWNER, brand=BRAND, name="k", scopes=["ingest:hub"])
    whole = envelope(operation("PushProducts", product()))
    half = envelope("<a/>" * 480_000)[:1_900_000]

    async def answered() -> tuple[httpx.Response, set[str | None]]:
        go_on, settled = asyncio.Event(), asyncio.Semaphore(0)

        async def body() -> AsyncIterator[bytes]:
            for at in range(0, len(half), 64 * 1024):
                yield half[at : at + 64 * 1024]
            settled.release()
            await go_on.wait()

        application = create_app(hub)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://hub") as caller:
            posted = partial(caller.post, "/soap/v1")
            xml = {"Content-Type": "text/xml"}
            strangers = [asyncio.create_task(posted(content=body(), headers=xml)) for _ in range(20)]
            for stranger in strangers:
                stranger.add_done_callback(lambda _: settled.release())
            for _ in strangers:
                await settled.acquire()
            mine = xml | {"Authorization": f"Bearer {key}"}
            answer = await posted(content=whole + b" " * 1_900_000, headers=mine)
            go_on.set()
            return answer, {code_of(each) for each in await asyncio.gather(*strangers)}

    answer, refusals = asyncio.run(answered())
    assert answer.status_code == 200, answer.text
    assert refusals == {"access"}


@pytest.mark.parametrize("body", ["<a/><a/>", "<PullProducts/>"])
def test_a_refusal_holds_nothing_of_the_message(client: Client, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    held: list[object] = []

    def look(error: HubError, operation: Operation | None = None) -> Fault:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        held.extend(value for frame in frames for value in frame.f_locals.values())
        return of_error(error, operation)

    monkeypatch.setattr("hub_api.soap.faults.of_error", look)
    client("ingest:hub").post("/soap/v1", content=envelope(body), headers={"Content-Type": "text/xml"})
    assert held
    assert not [value for value in held if isinstance(value, Envelope | etree._Element)]


def test_few_messages_are_built_at_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    building, most = 0, 0
    lock = threading.Lock()

    def read_slowly(body: bytes, content_type: str) -> Envelope:
        nonlocal building, most
        with lock:
            building += 1
            most = max(most, building)
        time.sleep(0.05)
        with lock:
            building -= 1
        return read_envelope(body, content_type)

    monkeypatch.setattr("hub_api.soap.door.read_envelope", read_slowly)
    caller = client("ingest:hub")

    def push(number: int) -> int:
        body = envelope(operation("PushProducts", product(), message_id=str(number)))
        return caller.post("/soap/v1", content=body, headers={"Content-Type": "text/xml"}).status_code

    with ThreadPoolExecutor(8) as senders:
        assert set(senders.map(push, range(8))) == {200}
    assert most <= PARSED_AT_ONCE


def test_a_wrong_password_and_an_unknown_user_read_the_same(send: Send, password: str) -> None:
    answers = {
        send(dress).text
        for dress in (
            as_text("wrong"),
            as_text(password, "nobody"),
            as_digest("wrong"),
            as_digest(password, "nobody"),
            as_digest("wrong", created=datetime(2020, 1, 1, tzinfo=UTC)),
        )
    }
    assert len(answers) == 1
    assert "access" in answers.pop()


class TestDigest:
    """A digest is good once, and for five minutes."""

    def test_the_same_nonce_is_refused_the_second_time(self, send: Send, password: str) -> None:
        token = as_digest(password)
        assert send(token).status_code == 200
        assert code_of(send(token)) == "access.replayed"

    def test_a_nonce_is_refused_also_with_another_time(self, send: Send, password: str) -> None:
        nonce = secrets.token_bytes(16)
        assert send(as_digest(password, nonce=nonce)).status_code == 200
        later = as_digest(password, nonce=nonce, created=datetime.now(UTC) - timedelta(seconds=30))
        assert code_of(send(later)) == "access.replayed"

    @pytest.mark.parametrize("age_s", [600, -600], ids=["old", "future"])
    def test_a_time_that_is_not_now_is_refused(self, send: Send, password: str, age_s: int) -> None:
        token = as_digest(password, created=datetime.now(UTC) - timedelta(seconds=age_s))
        assert code_of(send(token)) == "access.stale"

    def test_a_wrong_digest_uses_no_nonce(self, hub: Hub, send: Send, password: str) -> None:
        nonce = secrets.token_bytes(16)
        send(as_digest("wrong", nonce=nonce))
        assert hub.database.run("SELECT * FROM soap_nonce") == []
        assert send(as_digest(password, nonce=nonce)).status_code == 200

    @pytest.mark.parametrize(
        "nonce",
        ["", "<w:Nonce/>", "<w:Nonce>not base64!</w:Nonce>", "<w:Nonce>AAAA</w:Nonce>", "<w:Nonce>YWJj</w:Nonce>" * 2],
        ids=["missing", "empty", "not base64", "short", "two"],
    )
    def test_a_nonce_that_is_none_is_refused(self, send: Send, password: str, nonce: str) -> None:
        assert code_of(send(as_digest(password, sent_nonce=nonce))) == "access.token"

    @pytest.mark.parametrize("created", ["", "yesterday", "2026-03-01T99:00:00Z"])
    def test_a_time_that_is_none_is_refused(self, send: Send, password: str, created: str) -> None:
        assert code_of(send(as_digest(password, created=created))) == "access.token"

    @pytest.mark.parametrize("created", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
    def test_the_ends_of_time_are_refused(self, send: Send, password: str, created: str) -> None:
        assert code_of(send(as_digest(password, created=created))) == "access.stale"

    def test_nonces_are_swept_once_no_message_with_them_can_be_fresh(self, hub: Hub) -> None:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        assert use_nonce(hub.database, NAME, b"12345678", long_ago)
        assert use_nonce(hub.database, NAME, b"abcdefgh", datetime.now(UTC) + timedelta(hours=1))
        assert len(hub.database.run("SELECT hash FROM soap_nonce")) == 1


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<w:UsernameToken/>",
        "<w:UsernameToken><w:Username>drp@hub</w:Username></w:UsernameToken>",
        "<w:UsernameToken><w:Username/><w:Password>x</w:Password></w:UsernameToken>",
        '<w:UsernameToken><w:Username>a</w:Username><w:Password Type="urn:x">x</w:Password></w:UsernameToken>',
        "<w:BinarySecurityToken>x</w:BinarySecurityToken>",
    ],
)
def test_a_header_that_is_no_token_is_refused(send: Send, inside: str) -> None:
    assert code_of(send(security(inside))) == "access.token"


def test_two_security_headers_are_refused(send: Send, password: str) -> None:
    assert code_of(send(as_text(password) * 2)) == "access.token"


def test_a_token_counts_even_beside_a_good_key(client: Client, password: str) -> None:
    body = envelope(operation("PushProducts", product()), header=as_text("wrong"))
    response = client("ingest:hub").post("/soap/v1", content=body, headers={"Content-Type": "text/xml"})
    assert code_of(response) == "access"


def test_an_account_of_another_brand_cannot_push_into_this_one(hub: Hub, send: Send) -> None:
    password = create_account(hub.database, owner=OWNER, brand="sister", name="s", scopes=["ingest:hub"])
    assert code_of(send(as_text(password, "s"))) == "access.brand"


class TestAccounts:
    """Made, listed and ended; every step is in the audit log, the password only sealed."""

    def test_a_revoked_account_is_unknown(self, hub: Hub, send: Send, password: str) -> None:
        revoke_account(hub.database, NAME)
        revoke_account(hub.database, NAME)
        assert code_of(send(as_text(password))) == "access"
        (row,) = list_accounts(hub.database)
        assert (row["name"], row["scopes"], row["revoked_at"] is not None) == (NAME, ["ingest:hub"], True)
        with pytest.raises(NotFoundError):
            revoke_account(hub.database, "nobody")

    def test_the_password_is_nowhere_in_plain(self, hub: Hub, password: str) -> None:
        (row,) = hub.database.run("SELECT password FROM soap_account")
        assert password.encode() not in row["password"]
        assert password not in str(hub.database.run("SELECT action, detail FROM audit"))
        assert any(row["action"] == "soap_account.create" for row in hub.database.run("SELECT action FROM audit"))

    @pytest.mark.parametrize(
        ("name", "scopes"),
        [("", ["ingest:hub"]), ("a b", ["ingest:hub"]), ("a", []), ("a", ["*"]), ("a", ["ops:read"])],
    )
    def test_a_name_or_scope_that_does_not_do_is_refused(self, hub: Hub, name: str, scopes: list[str]) -> None:
        with pytest.raises(RejectedError):
            create_account(hub.database, owner=OWNER, brand=BRAND, name=name, scopes=scopes)

    def test_a_name_is_given_once(self, hub: Hub, password: str) -> None:
        with pytest.raises(ConflictError):
            create_account(hub.database, owner=OWNER, brand=BRAND, name=NAME, scopes=["ingest:hub"])

    def test_who_may_not_make_keys_makes_no_accounts(self, hub: Hub) -> None:
        nobody = Access("7", "viewer", OWNER, BRAND, frozenset({"ops:read"}), "user")
        with pytest.raises(AccessError):
            create_account(hub.database, owner=OWNER, brand=BRAND, name="a", scopes=["ingest:hub"], by=nobody)
