"""One open page: who looks, at what, in which words; reading in threads, doing through ``actions``, watching."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, TypeVar
from urllib.parse import urlencode

from nicegui import Client, ui
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from canonical_model.errors import AccessError, HubError, NotFoundError, RecordError
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.console import actions
from hub_api.console.html import Html
from hub_api.console.visits import SessionEndedError, Visit, find_visit
from hub_api.console.words import Words

__all__ = ["SessionEndedError", "View"]

WATCH_S: Final = 3.0
THEMES: Final = ("auto", "light", "dark")
MAX_ID: Final = 2**62
P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger(__name__)


class View:
    """What a page function works with."""

    def __init__(self, visit: Visit, words: Words, request: Request, client: Client) -> None:
        self.visit = visit
        self.words = words
        self.request = request
        self.client = client
        self.theme = request.cookies.get("yipan_theme", THEMES[0])
        self._timers: list[ui.timer] = []
        self._sections: list[Section[Any]] = []

    @property
    def address(self) -> str:
        """Path and query of this page, as the browser shows them."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")

    def arg(self, name: str) -> str | None:
        """A part of the path or of the query; None when absent or empty."""
        value = str(self.request.path_params.get(name) or self.request.query_params.get(name) or "").strip()
        return value.replace("\x00", "") or None

    def id_arg(self, name: str) -> int | None:
        """The same as a row's id. NotFoundError if it cannot be one."""
        value = self.arg(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdecimal() or int(value[:20]) > MAX_ID:
            raise NotFoundError(self.words("error.no_id", value=value[:80]), code="id.unknown")
        return int(value)

    def need_id(self, name: str) -> int:
        """The id in the path. NotFoundError if there is none."""
        if (found := self.id_arg(name)) is None:
            raise NotFoundError(self.words("error.no_id", value=""), code="id.unknown")
        return found

    def link(self, path: str, **query: Any) -> str:
        """An address of the console; a part of the query that is None is left out."""
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return f"/console{path}" + (f"?{given}" if given else "")

    def may(self, operation: str, target: str) -> bool:
        """Whether the viewer's role reaches that far; only for what is shown, ``actions`` asks again."""
        try:
            self.visit.access.require(operation, target)
        except AccessError:
            return False
        return True

    @property
    def systems(self) -> list[str]:
        """The connected systems of the brand, by name."""
        estate, brand = self.visit.hub.estate, self.visit.access.brand
        return [name for name in estate.systems if estate.connectors[name].config.brand == brand]

    def streams(self, system: str | None) -> list[str]:
        """The streams of a system, or of all of them, by name."""
        estate = self.visit.hub.estate
        names = [system] if system in self.systems else self.systems
        return sorted({stream.name for name in names for stream in estate.connectors[name].manifest.streams})

    def is_personal(self, system: str, stream: str) -> bool:
        """Whether the stream has personal fields."""
        connector = self.visit.hub.estate.connectors.get(system)
        spec = connector.manifest.stream(stream) if connector else None
        return spec is not None and bool(spec.personal)

    async def read(self, function: Callable[Concatenate[Hub, Access, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(hub, access, …)`` in a thread, the session found anew. SessionEndedError, and what it raises."""

        def work() -> T:
            visit = find_visit(self.visit.hub, self.visit.token, idle=True)
            if visit is None:
                raise SessionEndedError
            return function(visit.hub, visit.access, *args, **kwargs)

        return await run_in_threadpool(work)

    async def perform(self, name: str, **arguments: Any) -> Any:
        """Do the action ``name``; says how it went. The action's answer, or None if it was refused."""
        try:
            answer = await run_in_threadpool(actions.perform, self.visit.hub, self.visit.token, name, **arguments)
        except SessionEndedError:
            self.leave()
            return None
        except HubError as error:
            self.say(self.words("shell.refused", reason=reason(self.words, error)), "negative")
            return None
        return answer

    def say(self, text: str, kind: Literal["positive", "negative", "warning"] = "positive") -> None:
        """A word that goes away by itself."""
        with self.client:
            ui.notify(text, type=kind, position="bottom", timeout=6_000, multi_line=len(text) > 60)

    def leave(self) -> None:
        """The session is over: to the sign-in."""
        for timer in self._timers:
            timer.cancel()
        self.client.open("/sign-in")

    async def show(
        self, load: Callable[[], Awaitable[T]], draw: Callable[[T], None], *, every_s: float = 0
    ) -> "Section[T]":
        """A part of the page: load, draw, and with ``every_s`` draw again when what is loaded has changed."""
        section = Section(load, draw)
        self._sections.append(section)
        await section.refresh()
        if every_s:
            self._watch(every_s, section.refresh)
        return section

    async def refresh(self) -> None:
        """Load every part of the page again, after something was done."""
        try:
            for section in self._sections:
                await section.refresh()
        except SessionEndedError:
            self.leave()
        except HubError as error:
            self.say(reason(self.words, error), "warning")

    def seen(self, visible: bool) -> None:
        """Whether the browser shows this page now; what is not seen is not refreshed."""
        for timer in self._timers:
            timer.active = visible

    def _watch(self, every_s: float, refresh: Callable[[], Awaitable[None]]) -> None:
        async def tick() -> None:
            try:
                await refresh()
            except SessionEndedError:
                self.leave()
            except HubError as error:
                _log.info("console refresh of %s: %s", self.request.url.path, error.code)

        self._timers.append(ui.timer(every_s, tick, immediate=False))


class Section(Generic[T]):
    """A part of a page that can be drawn again; it is only when what is loaded has changed."""

    def __init__(self, load: Callable[[], Awaitable[T]], draw: Callable[[T], None]) -> None:
        self._load, self._draw = load, draw
        self._place = ui.element("section").classes("part")
        self._shown: T | None = None

    async def refresh(self) -> None:
        """Load, and draw again if it is not what is shown. Raises what loading raises."""
        loaded = await self._load()
        if loaded == self._shown or self._place.is_deleted:
            return
        self._shown = loaded
        self._place.clear()
        with self._place:
            self._draw(loaded)


def html(content: Html) -> ui.html:
    """Show HTML that was built by ``h``; the browser sanitises it once more."""
    return ui.html(content)


def reason(words: Words, error: HubError) -> str:
    """What went wrong, for a person: in their language where the refusal is a common one, else in its own words."""
    if text := words.find(f"refusal.{error.code}"):
        return text
    if isinstance(error, RecordError):
        return "; ".join(f"{issue.field}: {issue.detail}" for issue in error.issues)
    return error.detail


def pick(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those columns of a row."""
    return {name: row[name] for name in names}
