"""*Points*: the programmes and who bears them; what a member has, and why; a transfer."""

from typing import Any

from nicegui import ui

from hub_api import points_views
from hub_api.console import points_charts, points_parts
from hub_api.console.dialogs import Field, ask, button
from hub_api.console.html import Html, h
from hub_api.console.page import page
from hub_api.console.points_parts import MEMBER
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import code, document, empty, entry, filters, panel

NEEDS = ("points", "read")
MIN_REASON = 10
Found = dict[str, Any]


@page("/points", title="points.title", needs=NEEDS, menu=18, icon="points")
async def show_points(view: View) -> None:
    """The brand's programmes, what became of their points, and the newest transfers."""
    title(view, view.words("points.title"))
    html(_who(view))

    async def load() -> Found:
        return {
            "programmes": await view.read(points_views.list_programmes),
            "issuers": await view.read(points_views.list_issuers),
            "due": await view.read(points_views.list_due),
            "proofs": await view.read(points_views.read_proofs),
        }

    async def load_transfers() -> Found:
        reference, after = view.arg("reference"), view.id_arg("after")
        return await view.read(points_views.list_transfers, reference=reference, after=after, limit=50)

    await view.show(load, lambda found: _draw_points(view, found))
    html(filters(view, "/points", [entry(view, "reference", "points.reference")]))
    await view.show(load_transfers, lambda found: _draw_transfers(view, found))


@page("/points/member", title="points.member", needs=NEEDS)
async def show_member(view: View) -> None:
    """What a member has of each programme; one of them with its lots, its proof and its journal."""
    name = view.arg("who")
    if name is None:
        title(view, view.words("points.member"))
        html(_who(view))
        html(empty(view.words("points.nobody"), view.words("points.nobody_advice")))
        return
    member: Found = await view.read(points_views.read_member, name)
    programme = view.arg("programme") or _first(member)
    happened, recorded = (points_parts.moment_arg(view, each) for each in ("happened", "recorded"))

    async def load() -> Found:
        found: Found = {"member": await view.read(points_views.read_member, name)}
        if programme:
            found["why"] = await view.read(points_views.read_why, name, programme)
        if programme and (happened or recorded):
            found["as_of"] = await view.read(
                points_views.read_as_of, name, programme, happened=happened, recorded=recorded
            )
        return found

    async def load_journal() -> Found:
        return await view.read(points_views.read_journal, name, after=view.id_arg("after"))

    query = {"who": name, "programme": view.arg("programme")}
    await view.show(load, lambda found: _draw_member(view, found, programme))
    await view.show(load_journal, lambda found: _draw_journal(view, found, query))


@page("/points/transfers/{transfer_id}", title="points.transfer", needs=NEEDS)
async def show_transfer(view: View) -> None:
    """One transfer with its postings."""
    transfer_id = view.need_id("transfer_id")

    async def load() -> Found:
        return await view.read(points_views.read_transfer, transfer_id)

    await view.show(load, lambda found: _draw_transfer(view, found))


def _who(view: View) -> Html:
    """A form that leads to a member."""
    words = view.words
    box = h("input", name="who", value=view.arg("who"), maxlength=200, autocomplete="off", spellcheck="false",
            placeholder=words("points.member_hint"))  # fmt: skip
    label = h("label", h("span", words("points.member")), box)
    return h("form", label, h("button", words("points.open"), type="submit"), action=view.link(MEMBER), method="get",
             cls="filters")  # fmt: skip


def _first(member: Found) -> str | None:
    """The programme with the most points, of those that are spent rather than counted."""
    own = sorted(member["programmes"], key=lambda each: (each["next_expiry"] is None, -each["posted"]))
    return own[0]["programme"] if own else None


def _draw_points(view: View, found: Found) -> None:
    html(points_parts.programmes(view, found["programmes"], found["issuers"]))
    with ui.element("div").classes("map-and"):
        with ui.element("div").classes("part"):
            if any(row["issued"] for row in found["issuers"]):
                points_charts.draw_issuers(view, found["issuers"])
            if found["due"]:
                points_charts.draw_due(view, found["due"])
        _draw_proofs(view, found["proofs"])


def _draw_proofs(view: View, found: Found) -> None:
    words = view.words

    async def verify() -> None:
        wait.props("loading")
        answer = await view.perform("points.verify")
        wait.props(remove="loading")
        if answer is not None:
            kind = "points.found_broken" if answer["broken"] else "points.found_sound"
            view.say(words(kind, entries=answer["entries"], broken=answer["broken"]))
            await view.refresh()

    with ui.element("div").classes("panel side-panel"):
        html(h("header", h("h2", words("points.proofs")))).classes("panel-head")
        html(points_parts.proofs(view, found))
        if view.may("points", "adjust"):
            with ui.element("div").classes("buttons"):
                wait = button(words("points.verify"), verify, mark="verify")


def _draw_transfers(view: View, found: Found) -> None:
    html(points_parts.transfers(view, found))


def _draw_member(view: View, found: Found, programme: str | None) -> None:
    words, member = view.words, found["member"]
    who = member["member"]
    beside = [code(member["holder"])]
    if who and not who.get("erased"):
        beside = [
            h("span", f"{who['system']}:{who['code']} {who.get('name') or ''} {who.get('mobile') or ''}"),
            *beside,
        ]
    title(view, words("points.member"), *beside)
    if len(member["wallet"]) > 1:
        html(h("div", words("points.shares", holders=", ".join(member["wallet"])), cls="note"))
    html(points_parts.accounts(view, member, programme))
    if programme is None:
        return
    _draw_buttons(view, member, programme)
    html(h("h2", programme))
    with ui.element("div").classes("map-and"):
        with ui.element("div").classes("part"):
            if found["why"]["lots"]:
                points_charts.draw_lots(view, found["why"]["lots"])
            html(panel(words("points.as_of"), points_parts.times(view, programme),
                       points_parts.as_of(view, found["as_of"]) if "as_of" in found else None))  # fmt: skip
        html(points_parts.why(view, found["why"]))
    html(points_parts.lots(view, found["why"]["lots"]))


def _draw_journal(view: View, found: Found, query: dict[str, str | None]) -> None:
    html(points_parts.journal(view, found, query))


def _draw_buttons(view: View, member: Found, programme: str) -> None:
    words = view.words
    if not view.may("points", "adjust"):
        return

    async def adjust() -> None:
        given = await ask(
            view,
            words("points.adjust_ask", programme=programme),
            explain=words("points.adjust_explain"),
            fields=[
                Field("points", "points.how_many", least=1),
                Field("number", "points.number", least=1),
                Field("reason", "rules.reason", kind="text", least=MIN_REASON),
            ],
            do=words("points.adjust"),
        )
        if given is not None:
            await _done(view, "points.adjust", holder=member["holder"], programme=programme, **given)

    async def merge() -> None:
        given = await ask(
            view,
            words("points.merge_ask"),
            explain=words("points.merge_explain"),
            fields=[
                Field("merged", "points.other_member", least=1),
                Field("number", "points.number", least=1),
                Field("reason", "rules.reason", kind="text", least=MIN_REASON),
            ],
            do=words("points.merge"),
        )
        if given is not None:
            await _done(view, "points.merge", kept=member["holder"], **given)

    with ui.element("div").classes("buttons"):
        button(words("points.adjust"), adjust, mark="adjust")
        button(words("points.merge"), merge, mark="merge")
        for each in member["merges"]:
            if each["undone_at"] is None:
                _unmerge_button(view, each)


def _unmerge_button(view: View, merge: Found) -> None:
    words = view.words

    async def unmerge() -> None:
        given = await ask(
            view,
            words("points.unmerge_ask", kept=merge["kept"], merged=merge["merged"]),
            fields=[Field("reason", "rules.reason", kind="text", least=MIN_REASON)],
            do=words("points.unmerge"),
            bad=True,
        )
        if given is not None:
            await _done(view, "points.unmerge", merge_id=merge["id"], **given)

    button(words("points.unmerge"), unmerge, kind="bad", mark="unmerge")


async def _done(view: View, action: str, **arguments: Any) -> None:
    if await view.perform(action, **arguments) is not None:
        view.say(view.words("points.done"))
        await view.refresh()


def _draw_transfer(view: View, found: Found) -> None:
    words = view.words
    title(view, words("points.transfer_heading", kind=words.name("points_kind", found["kind"]), number=found["id"]))
    html(points_parts.transfer_facts(view, found))
    html(points_parts.transfer(view, found))
    if found["detail"]:
        html(panel(words("points.detail"), document(found["detail"])))
