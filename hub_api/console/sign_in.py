"""Signing in and out, choosing a brand, changing a password, reading preferences: plain forms, no script needed.

The sign-in form is proven by a token that stands both in the form and in a cookie; every other form carries the
session's own token.
"""

import logging
from hmac import compare_digest
from typing import Final
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from canonical_model.errors import AccessError, HubError, TransientError
from hub_api import oidc, sessions
from hub_api.console.forms import (
    HOME,
    hub_of,
    kept_cookies,
    password_page,
    read_form,
    refusal,
    safe,
    sign_in_page,
    visit_of,
    words_for,
)
from hub_api.console.guard import SIGN_IN
from hub_api.console.turns import PASSWORDS, SIGN_ONS
from hub_api.console.view import THEMES
from hub_api.console.visits import Visit
from hub_api.console.words import LANGUAGES

MAX_GIVEN: Final = 4_096
SIGN_ON_S: Final = 600

router = APIRouter(prefix="/console", include_in_schema=False)
_log = logging.getLogger(__name__)


@router.get("/sign-in")
async def show_sign_in(request: Request) -> Response:
    """The form; whoever is signed in already goes on."""
    after = safe(request.query_params.get("next"))
    if visit_of(request) is not None:
        return RedirectResponse(after, 303)
    return sign_in_page(request, after)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Open a session and go where the person wanted to go."""
    form = await read_form(request)
    hub, cookies = hub_of(request), kept_cookies(request)
    after = safe(form.get("next"))
    expected = request.cookies.get(cookies.form, "")
    if not expected or not compare_digest(expected.encode(), form.get("form_token", "").encode()):
        return sign_in_page(request, after, words_for(request)("sign_in.stale"), status=403)
    address = request.client.host if request.client else ""
    code = form.get("code", "").strip() or None
    try:
        session = await PASSWORDS.run(
            sessions.sign_in, hub, form.get("login", ""), form.get("password", ""), code, address=address
        )
    except (AccessError, TransientError) as error:
        _log.info("sign-in from %s: %s", address, error.code)
        return sign_in_page(request, after, refusal(words_for(request), error), given=form, error=error)
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
    cookies = kept_cookies(request)
    cookies.drop(answer, cookies.session)
    return answer


@router.post("/brand")
async def choose_brand(request: Request) -> Response:
    """Look at another brand from now on."""
    visit = await _proven(request)
    if isinstance(visit, Response):
        return visit
    brand = (await read_form(request)).get("brand", "")
    try:
        await run_in_threadpool(sessions.choose_brand, visit.hub.database, visit.token, brand)
    except AccessError as error:
        return PlainTextResponse(error.detail, 403)
    return RedirectResponse(HOME, 303)


@router.get("/password")
async def show_password(request: Request) -> Response:
    """The form for a new password."""
    return password_page(request)


@router.post("/password")
async def change_password(request: Request) -> Response:
    """Take a new password; every session of the account ends and this one begins anew."""
    visit = await _proven(request)
    if isinstance(visit, Response):
        return visit
    form = await read_form(request)
    if form.get("new", "") != form.get("again", ""):
        return password_page(request, words_for(request)("password.differ"))
    address = request.client.host if request.client else ""
    try:
        session = await PASSWORDS.run(
            sessions.change_password, visit.hub, visit.token, form.get("old", ""), form.get("new", ""), address=address
        )
    except HubError as error:
        return password_page(request, refusal(words_for(request), error), error=error)
    answer = RedirectResponse(HOME, 303)
    cookies = kept_cookies(request)
    cookies.keep(answer, cookies.session, session.token)
    return answer


@router.get("/oidc/start")
async def start_sign_on(request: Request) -> Response:
    """Send the browser to the company's identity provider."""
    hub, cookies = hub_of(request), kept_cookies(request)
    after = safe(request.query_params.get("next"))
    if not oidc.is_on(hub.settings):
        return RedirectResponse(SIGN_IN, 303)
    try:
        started = await SIGN_ONS.run(oidc.start, hub)
    except HubError as error:
        _log.warning("sign-on: %s", error.detail)
        return sign_in_page(request, after, refusal(words_for(request), error), error=error, status=503)
    answer = RedirectResponse(started.url, 303)
    cookies.keep(answer, cookies.sign_on, f"{started.binding}.{quote(after, safe='')}", max_age_s=SIGN_ON_S)
    return answer


@router.get("/oidc/callback")
async def finish_sign_on(request: Request) -> Response:
    """Take what the identity provider says, and open a session."""
    hub, cookies = hub_of(request), kept_cookies(request)
    binding, _, wanted = request.cookies.get(cookies.sign_on, "").partition(".")
    after = safe(unquote(wanted))
    given = {name: value[:MAX_GIVEN] for name, value in request.query_params.items()}
    try:
        session = await SIGN_ONS.run(oidc.finish, hub, given, binding)
    except HubError as error:
        _log.info("sign-on: %s", error.code)
        status = 401 if isinstance(error, AccessError) else 503
        answer = sign_in_page(request, after, refusal(words_for(request), error), error=error, status=status)
        cookies.drop(answer, cookies.sign_on)
        return answer
    done = RedirectResponse(after, 303)
    cookies.keep(done, cookies.session, session.token)
    cookies.drop(done, cookies.sign_on)
    return done


@router.get("/preferences")
async def prefer(request: Request) -> Response:
    """Remember a language or theme, and go back."""
    answer = RedirectResponse(safe(request.query_params.get("back")), 303)
    for name, allowed in {"language": LANGUAGES, "theme": THEMES}.items():
        if (value := request.query_params.get(name)) in allowed:
            kept_cookies(request).remember(answer, name, value)
    return answer


async def _proven(request: Request) -> Visit | Response:
    """Who sent the form, if the form is one that this session was given."""
    visit = visit_of(request)
    if visit is None:
        return RedirectResponse(SIGN_IN, 303)
    given = (await read_form(request)).get("form_token", "")
    if not compare_digest(given.encode(), visit.form_token.encode()):
        return PlainTextResponse(words_for(request)("sign_in.stale"), 403)
    return visit
