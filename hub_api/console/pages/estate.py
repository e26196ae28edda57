"""*Estate*: the connected systems, their streams and lanes, lag and last error; pause and resume."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from hub_api import estate_view
from hub_api.console.dialogs import ask, button
from hub_api.console.html import Html, h, join
from hub_api.console.page import page
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, empty, link, moment, panel, problem, state, table
from hub_api.estate_view import LaneState, StreamState, SystemState


@page("/estate", title="estate.title", menu=20, icon="estate")
async def show_estate(view: View) -> None:
    """Every system of the brand: the ways out first, then each system's streams."""
    title(view, view.words("estate.title"))

    async def load_lanes() -> list[LaneState]:
        return await view.read(estate_view.lanes)

    async def load_systems() -> list[SystemState]:
        return await view.read(estate_view.systems)

    await view.show(load_lanes, lambda found: _draw_lanes(view, found), every_s=3)
    await view.show(load_systems, lambda found: _draw_systems(view, found), every_s=3)


def _draw_lanes(view: View, found: list[LaneState]) -> None:
    words = view.words
    html(h("h2", words("estate.lanes")))
    if not found:
        html(empty(words("estate.no_lanes"), words("estate.no_lanes_advice")))
        return
    with ui.element("div").classes("lanes"):
        for lane in found:
            with ui.element("div").classes("panel lane-card"):
                html(_lane(view, lane))
                if view.may("estate", "write"):
                    _draw_lane_button(view, lane)


def _lane(view: View, lane: LaneState) -> Html:
    words = view.words
    figures = [
        ("estate.queued", words.number(lane.queued)),
        ("estate.under_way", words.number(lane.under_way)),
        ("estate.in_doubt", words.number(lane.in_doubt)),
        ("estate.oldest", words.ago(lane.oldest_at)),
    ]
    rests = lane.rests_until and words("estate.rests", until=words.time(lane.rests_until))
    return join(
        h("div", h("h3", lane.name), state(words, "lane", lane.state), cls="title"),
        h("dl", [h("div", h("dt", words(key)), h("dd", value)) for key, value in figures], cls="figures"),
        h("p", rests, cls="muted") if rests else "",
        _advice(view, "lane_advice", lane.state),
        _last_error(view, lane.last_error, now=lane.state != "open"),
    )


def _draw_lane_button(view: View, lane: LaneState) -> None:
    words = view.words

    async def pause() -> None:
        question = words("estate.pause_ask", lane=lane.name)
        if await ask(view, question, explain=words("estate.pause_explain"), do=words("estate.pause")) is None:
            return
        if await view.perform("lane.pause", lane=lane.name) is not None:
            view.say(words("estate.was_paused", lane=lane.name))
        await view.refresh()

    async def resume() -> None:
        if await view.perform("lane.resume", lane=lane.name) is not None:
            view.say(words("estate.was_resumed", lane=lane.name))
        await view.refresh()

    with ui.element("div").classes("buttons"):
        if lane.state == "open":
            button(words("estate.pause"), pause, mark=f"pause-{lane.name}")
        else:
            button(words("estate.resume"), resume, kind="first", mark=f"resume-{lane.name}")
            if not lane.paused:
                button(words("estate.pause"), pause, mark=f"pause-{lane.name}")


def _draw_systems(view: View, found: list[SystemState]) -> None:
    words = view.words
    html(h("h2", words("estate.systems")))
    if not found:
        html(empty(words("estate.none"), words("estate.none_advice")))
        return
    for system in found:
        html(_system(view, system))


def _system(view: View, system: SystemState) -> Html:
    words = view.words
    heading = h("span", system.name, h("span", f" {system.title}", cls="muted"))
    quarantined = system.open_quarantine and link(
        words("estate.quarantined", count=words.number(system.open_quarantine)),
        view.link("/quarantine", system=system.name),
    )
    return panel(
        heading,
        _last_error(view, system.last_error, now=True) if system.health not in ("well", "waiting") else None,
        _streams(view, system) if system.streams else h("p", words("estate.no_streams"), cls="muted"),
        beside=[quarantined or None, state(words, "health", system.health)],
    )


def _advice(view: View, kind: str, word: str) -> Html:
    text = view.words.find(f"{kind}.{word}")
    return h("p", text, cls="muted") if text else Html("")


def _last_error(view: View, error: Mapping[str, Any] | None, *, now: bool) -> Html:
    """The last error: what keeps it from working, or something of the past."""
    if not error:
        return Html("")
    told = problem(view.words, error)
    return h("p", told) if now else h("p", view.words("estate.before"), " ", told, cls="before")


def _streams(view: View, system: SystemState) -> Html:
    words = view.words
    columns = [
        Column("column.stream"),
        Column("estate.entity"),
        Column("estate.last_message", "time"),
        Column("estate.lag", "number"),
        Column("estate.waiting", "number"),
        Column("estate.hour", "number"),
        Column("estate.day", "number"),
        Column("estate.refused", "number"),
        Column("estate.pull", "time"),
    ]
    return table(words, columns, [_stream(view, system, each) for each in system.streams], caption="estate.streams")


def _stream(view: View, system: SystemState, stream: StreamState) -> tuple[Any, ...]:
    words = view.words
    query = {"system": system.name, "stream": stream.name}
    refused: Any = words.number(stream.open_quarantine)
    if stream.open_quarantine:
        refused = link(refused, view.link("/quarantine", **query))
    pulled = None
    if stream.schedule_s is not None:
        late = state(words, "pull", "overdue") if stream.overdue else None
        pulled = join(moment(words, stream.pulled_at), " ", late or "")
    return (
        link(stream.name, view.link("/messages", **query)),
        words.name("entity", stream.entity),
        moment(words, stream.last_message_at),
        words.span(stream.lag_s) if stream.lag_s is not None else None,
        words.number(stream.waiting),
        words.number(stream.hour.accepted),
        words.number(stream.day.accepted),
        link(words.number(stream.open_quarantine), view.link("/quarantine", **query))
        if stream.open_quarantine
        else "0",
        pulled,
    )
