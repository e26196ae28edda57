"""Signing in and out, choosing a brand, changing a password, reading preferences: plain forms, no script needed.

The sign-in form is proven by a token that stands both in the form and in a cookie; every other form carries the
session's own token.
"""

import logging
import secrets
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from canonical_model.errors import AccessError, HubError
from flows.runtime.bootstrap import Hub
from hub_api import oidc, sessions
from hub_api.console import assets
from hub_api.console.cookies import Cookies, cookies_of
from hub_api.console.guard import PASSWORD, SIGN_IN, VISIT
from hub_api.console.html import Html, h, join
from hub_api.console.view import THEMES, reason
from hub_api.console.visits import Visit
from hub_api.console.words import LANGUAGES, Words, words_of

HOME: Final = "/console/"
MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELD: Final = 1_024
MAX_GIVEN: Final = 4_096
FORM_S: Final = 3_600
SIGN_ON_S: Final = 600

router = APIRouter(prefix="/console", include_in_schema=False)
_log = logging.getLogger(__name__)


@router.get("/sign-in")
async def show_sign_in(request: Request) -> Response:
    """The form; whoever is signed in already goes on."""
    after = _safe(request.query_params.get("next"))
    if _visit(request) is not None:
        return RedirectResponse(after, 303)
    return _sign_in_page(request, after)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Open a session and go where the person wanted to go."""
    form = await _form(request)
    hub, cookies = _hub(request), _cookies(request)
    after = _safe(form.get("next"))
    expected = request.cookies.get(cookies.form, "")
    if not expected or not compare_digest(expected.encode(), form.get("form_token", "").encode()):
        return _sign_in_page(request, after, _words(request)("sign_in.stale"), status=403)
    address = request.client.host if request.client else ""
    code = form.get("code", "").strip() or None
    try:
        session = await run_in_threadpool(
            sessions.sign_in, hub, form.get("login", ""), form.get("password", ""), code, address=address
        )
    except AccessError as error:
        _log.info("sign-in from %s: %s", address, error.code)
        return _sign_in_page(request, after, _refusal(_words(request), error), given=form, error=error)
    answer = RedirectResponse(after, 303)
    cookies.keep(answer, cookies.session, session.token)
    cookies.drop(answer, cookies.form)
    return answer


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, here and on every open page of it."""
    visit = await _proven(request)
    if isinstance(visit, Response):
        return visit
    await run_in_threadpool(sessions.sign_out, visit.hub.database, visit.token)
    answer = RedirectResponse(SIGN_IN, 303)
    cookies = _cookies(request)
    cookies.drop(answer, cookies.session)
    return answer


@router.post("/brand")
async def choose_brand(request: Request) -> Response:
    """Look at another brand from now on."""
    visit = await _proven(request)
    if isinstance(visit, Response):
        return visit
    brand = (await _form(request)).get("brand", "")
    try:
        await run_in_threadpool(sessions.choose_brand, visit.hub.database, visit.token, brand)
    except AccessError as error:
        return PlainTextResponse(error.detail, 403)
    return RedirectResponse(HOME, 303)


@router.get("/password")
async def show_password(request: Request) -> Response:
    """The form for a new password."""
    return _password_page(request)


@router.post("/password")
async def change_password(request: Request) -> Response:
    """Take a new password; every session of the account ends and this one begins anew."""
    visit = await _proven(request)
    if isinstance(visit, Response):
        return visit
    form = await _form(request)
    if form.get("new", "") != form.get("again", ""):
        return _password_page(request, _words(request)("password.differ"))
    address = request.client.host if request.client else ""
    try:
        session = await run_in_threadpool(
            sessions.change_password, visit.hub, visit.token, form.get("old", ""), form.get("new", ""), address=address
        )
    except HubError as error:
        return _password_page(request, _refusal(_words(request), error))
    answer = RedirectResponse(HOME, 303)
    cookies = _cookies(request)
    cookies.keep(answer, cookies.session, session.token)
    return answer


@router.get("/oidc/start")
async def start_sign_on(request: Request) -> Response:
    """Send the browser to the company's identity provider."""
    hub, cookies = _hub(request), _cookies(request)
    after = _safe(request.query_params.get("next"))
    if not oidc.is_on(hub.settings):
        return RedirectResponse(SIGN_IN, 303)
    try:
        started = await run_in_threadpool(oidc.start, hub)
    except HubError as error:
        _log.warning("sign-on: %s", error.detail)
        return _sign_in_page(request, after, _refusal(_words(request), error), status=503)
    answer = RedirectResponse(started.url, 303)
    cookies.keep(answer, cookies.sign_on, f"{started.binding}.{quote(after, safe='')}", max_age_s=SIGN_ON_S)
    return answer


@router.get("/oidc/callback")
async def finish_sign_on(request: Request) -> Response:
    """Take what the identity provider says, and open a session."""
    hub, cookies = _hub(request), _cookies(request)
    binding, _, wanted = request.cookies.get(cookies.sign_on, "").partition(".")
    after = _safe(unquote(wanted))
    given = {name: value[:MAX_GIVEN] for name, value in request.query_params.items()}
    try:
        session = await run_in_threadpool(oidc.finish, hub, given, binding)
    except HubError as error:
        _log.info("sign-on: %s", error.code)
        status = 401 if isinstance(error, AccessError) else 503
        answer = _sign_in_page(request, after, _refusal(_words(request), error), status=status)
        cookies.drop(answer, cookies.sign_on)
        return answer
    done = RedirectResponse(after, 303)
    cookies.keep(done, cookies.session, session.token)
    cookies.drop(done, cookies.sign_on)
    return done


@router.get("/preferences")
async def prefer(request: Request) -> Response:
    """Remember a language or theme, and go back."""
    answer = RedirectResponse(_safe(request.query_params.get("back")), 303)
    for name, allowed in {"language": LANGUAGES, "theme": THEMES}.items():
        if (value := request.query_params.get(name)) in allowed:
            _cookies(request).remember(answer, name, value)
    return answer


def _safe(address: str | None) -> str:
    """The address if it is a page of this console, else the first page: a link must not lead a person elsewhere."""
    parts = urlsplit(address or "")
    plain = address is not None and address.isprintable() and "\\" not in address and ".." not in parts.path
    inside = parts.path == "/console" or parts.path.startswith(HOME)
    outward = parts.scheme or parts.netloc or parts.path.startswith((SIGN_IN, "/console/oidc", "/console/_nicegui"))
    return address if address and plain and inside and not outward else HOME


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form, the first value of each."""
    body = (await request.body())[:MAX_FORM_BYTES]
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return {name: values[0][:MAX_FIELD] for name, values in fields.items()}


async def _proven(request: Request) -> Visit | Response:
    """Who sent the form, if the form is one that this session was given."""
    visit = _visit(request)
    if visit is None:
        return RedirectResponse(SIGN_IN, 303)
    given = (await _form(request)).get("form_token", "")
    if not compare_digest(given.encode(), visit.form_token.encode()):
        return PlainTextResponse(_words(request)("sign_in.stale"), 403)
    return visit


def _sign_in_page(
    request: Request,
    after: str,
    problem: str = "",
    *,
    given: dict[str, str] | None = None,
    error: AccessError | None = None,
    status: int = 200,
) -> Response:
    words, cookies = _words(request), _cookies(request)
    token = secrets.token_urlsafe(32)
    wants_code = error is not None and error.code == "sign_in.totp"
    login = (given or {}).get("login", "")
    fields = [
        _field(words("sign_in.login"), "login", value=login, autocomplete="username", autofocus=not login),
        _field(
            words("sign_in.password"),
            "password",
            type="password",
            autocomplete="current-password",
            autofocus=bool(login) and not wants_code,
        ),
        _field(
            words("sign_in.code"),
            "code",
            inputmode="numeric",
            autocomplete="one-time-code",
            required=False,
            autofocus=wants_code,
            placeholder=words("sign_in.code_hint"),
        ),
    ]
    form = h(
        "form",
        h("input", type="hidden", name="form_token", value=token),
        h("input", type="hidden", name="next", value=after),
        fields,
        h("button", words("sign_in.enter"), type="submit", cls="first"),
        method="post",
        action=SIGN_IN,
    )
    if error is not None and status == 200:
        status = 429 if error.code == "sign_in.blocked" else 401
    answer = _page(
        request, words("sign_in.title"), _note(problem), form, _sign_on(request, words, after), status=status
    )
    if status == 429 and error is not None:
        answer.headers["Retry-After"] = str(error.context.get("after_s", 30))
    cookies.keep(answer, cookies.form, token, max_age_s=FORM_S)
    return answer


def _password_page(request: Request, problem: str = "") -> Response:
    words, visit = _words(request), _visit(request)
    assert visit is not None
    form = h(
        "form",
        h("input", type="hidden", name="form_token", value=visit.form_token),
        h("input", type="hidden", name="login", value=visit.session.login, autocomplete="username"),
        _field(words("password.old"), "old", type="password", autocomplete="current-password", autofocus=True),
        _field(words("password.new"), "new", type="password", autocomplete="new-password"),
        _field(words("password.again"), "again", type="password", autocomplete="new-password"),
        h("button", words("password.change"), type="submit", cls="first"),
        method="post",
        action=PASSWORD,
    )
    why = words("password.must") if visit.session.must_change_password and not problem else problem
    return _page(request, words("password.title"), _note(why), form, status=422 if problem else 200)


def _sign_on(request: Request, words: Words, after: str) -> Html | None:
    if not oidc.is_on(_hub(request).settings):
        return None
    start = "/console/oidc/start?" + urlencode({"next": after})
    return join(h("div", words("sign_in.or"), cls="or"), h("a", words("sign_in.sign_on"), href=start, cls="button"))


def _page(request: Request, title: str, *content: Any, status: int) -> HTMLResponse:
    words = _words(request)
    theme = request.cookies.get("yipan_theme", THEMES[0])
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    others = [
        h(
            "a",
            words(f"language.{each}"),
            lang=each,
            aria_current="true" if each == words.language else None,
            href="/console/preferences?" + urlencode({"language": each, "back": back}),
        )
        for each in LANGUAGES
    ]
    body = h(
        "body",
        h(
            "div",
            h(
                "main",
                h("div", h("b", words("shell.mark")), h("span", words("shell.name")), cls="mark"),
                h("h1", title),
                content,
                cls="panel",
            ),
            h("div", h("div", others, cls="switch"), cls="foot"),
            cls="door",
        ),
        h("script", Html(assets.content("sign_in.js").decode())),
        data_theme=theme,
    )
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("title", f"{title} · {words('shell.name')}"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("link", rel="icon", href=assets.FAVICON),
        h("style", Html(assets.content("console.css").decode())),
    )
    return HTMLResponse(Html("<!doctype html>") + h("html", head, body, lang=words.html_language), status)


def _note(problem: str) -> Html | None:
    return h("div", problem, cls="note bad", role="alert") if problem else None


def _field(label: str, name: str, **attributes: Any) -> Html:
    given = {"type": "text", "required": True, "maxlength": 200, "autocapitalize": "none", "spellcheck": "false"}
    return h("label", h("span", label), h("input", name=name, **{**given, **attributes}))


def _refusal(words: Words, error: HubError) -> str:
    """The reason in the person's language where it is one of those that a sign-in knows, else its own words."""
    text = words.find(error.code)
    return text.format(after_s=error.context.get("after_s", "")) if text else reason(error)


def _visit(request: Request) -> Visit | None:
    visit: Visit | None = request.scope.get(VISIT)
    return visit


def _hub(request: Request) -> Hub:
    hub: Hub = request.app.state.hub
    return hub


def _cookies(request: Request) -> Cookies:
    return cookies_of(_hub(request).settings.public_url)


def _words(request: Request) -> Words:
    return words_of(request.cookies, request.headers.get("accept-language", ""))
