"""The console's plain forms: what they look like, what they say, and reading what was sent."""

import secrets
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlencode

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from canonical_model.errors import HubError, LimitError, TransientError
from flows.runtime.bootstrap import Hub
from hub_api import oidc
from hub_api.console import assets
from hub_api.console.cookies import Cookies, cookies_of
from hub_api.console.guard import AGAIN_S, PASSWORD, SIGN_IN, VISIT
from hub_api.console.html import Html, h, join
from hub_api.console.view import THEMES, reason
from hub_api.console.visits import Visit
from hub_api.console.words import LANGUAGES, Words, words_of

HOME: Final = "/console/"
MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELD: Final = 1_024
MAX_FIELDS: Final = 20
FORM_S: Final = 3_600


def safe(address: str | None) -> str:
    """The address if it is a page of this console, else the first page: a link must not lead a person elsewhere."""
    given = address or ""
    path = unquote(given.partition("?")[0].partition("#")[0])
    inside = given == "/console" or given.startswith((HOME, "/console?"))
    plain = given.isprintable() and "\\" not in given and ".." not in path
    outward = path.startswith((SIGN_IN, "/console/oidc", "/console/_nicegui"))
    return given if inside and plain and not outward else HOME


async def read_form(request: Request) -> dict[str, str]:
    """The fields of the form, the first value of each. LimitError (``form.fields``) when there are over MAX_FIELDS."""
    body = (await request.body())[:MAX_FORM_BYTES]
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        detail = f"the form has over {MAX_FIELDS} fields; open the page again and send its own form"
        raise LimitError(detail, code="form.fields") from error
    return {name: values[0][:MAX_FIELD] for name, values in fields.items()}


def sign_in_page(
    request: Request,
    after: str,
    problem: str = "",
    *,
    given: dict[str, str] | None = None,
    error: HubError | None = None,
    status: int = 200,
) -> Response:
    """The sign-in form, with what went wrong before; its token stands in the form and in a cookie."""
    words, cookies = words_for(request), kept_cookies(request)
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
    content = (_note(problem), form, _sign_on(request, words, after))
    answer = _page(request, words("sign_in.title"), *content, status=status)
    if error is not None:
        _say_when(answer, error, otherwise=401 if status == 200 else status)
    cookies.keep(answer, cookies.form, token, max_age_s=FORM_S)
    return answer


def password_page(request: Request, problem: str = "", *, error: HubError | None = None) -> Response:
    """The form for a new password, with what went wrong before."""
    words, visit = words_for(request), visit_of(request)
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
    answer = _page(request, words("password.title"), _note(why), form, status=422 if problem else 200)
    if error is not None:
        _say_when(answer, error, otherwise=answer.status_code)
    return answer


def _say_when(answer: Response, error: HubError, *, otherwise: int) -> None:
    """The status that the error has, and when to come again if that helps."""
    blocked, away = error.code == "sign_in.blocked", isinstance(error, TransientError)
    answer.status_code = 429 if blocked else 503 if away else otherwise
    if blocked or away:
        answer.headers["Retry-After"] = str(max(1, round(error.context.get("after_s", AGAIN_S))))


def _sign_on(request: Request, words: Words, after: str) -> Html | None:
    if not oidc.is_on(hub_of(request).settings):
        return None
    start = "/console/oidc/start?" + urlencode({"next": after})
    return join(h("div", words("sign_in.or"), cls="or"), h("a", words("sign_in.sign_on"), href=start, cls="button"))


def _page(request: Request, title: str, *content: Any, status: int) -> HTMLResponse:
    words = words_for(request)
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


def refusal(words: Words, error: HubError) -> str:
    """The reason in the person's language where it is one of those that a sign-in knows, else its own words."""
    text = words.find(error.code)
    return text.format(after_s=error.context.get("after_s", "")) if text else reason(words, error)


def visit_of(request: Request) -> Visit | None:
    """The visit that the guard found, or None."""
    visit: Visit | None = request.scope.get(VISIT)
    return visit


def hub_of(request: Request) -> Hub:
    """The hub behind this application."""
    hub: Hub = request.app.state.hub
    return hub


def kept_cookies(request: Request) -> Cookies:
    """The cookies that this hub's console uses."""
    return cookies_of(hub_of(request).settings.public_url)


def words_for(request: Request) -> Words:
    """The words of whoever asks."""
    return words_of(request.cookies, request.headers.get("accept-language", ""))
