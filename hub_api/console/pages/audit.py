"""*Audit*: who changed or looked at what, newest first."""

from collections.abc import Mapping
from typing import Any

from hub_api.console import reads
from hub_api.console.html import Html, h
from hub_api.console.page import page
from hub_api.console.reads import Rows
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, code, empty, entry, filters, link, moment, pager, table


@page("/audit", title="audit.title", needs=("audit", "read"), menu=60, icon="audit")
async def show_audit(view: View) -> None:
    """The log of the brand, by actor, action and subject."""
    wanted = {name: view.arg(name) for name in ("actor", "action", "subject")}
    title(view, view.words("audit.title"))
    html(
        filters(
            view,
            "/audit",
            [
                entry(view, "actor", "audit.actor"),
                entry(view, "action", "audit.action"),
                entry(view, "subject", "audit.subject"),
            ],
        )
    )

    async def load() -> Rows:
        return await view.read(reads.list_audit, **wanted, before=view.id_arg("before"))

    await view.show(load, lambda found: _draw(view, found, wanted), every_s=5)


def _draw(view: View, found: Rows, wanted: dict[str, str | None]) -> None:
    words = view.words
    if not found.items:
        html(empty(words("audit.none"), words("audit.none_advice")))
        return
    columns = [
        Column("column.id", "number"),
        Column("audit.at", "time"),
        Column("audit.actor", "code"),
        Column("audit.action", "code"),
        Column("audit.subject", "code"),
        Column("audit.detail"),
    ]
    rows = [
        (
            words.number(row["seq"]),
            moment(words, row["at"]),
            link(code(row["actor"]), view.link("/audit", actor=row["actor"])),
            link(code(row["action"]), view.link("/audit", action=row["action"])),
            link(code(row["subject"]), view.link("/audit", subject=row["subject"])),
            _detail(row["detail"]),
        )
        for row in found.items
    ]
    html(table(words, columns, rows, caption="audit.title"))
    if following := pager(view, "/audit", found.next, "before", **wanted):
        html(following)


def _detail(detail: Mapping[str, Any]) -> Html:
    given = {name: value for name, value in detail.items() if value not in (None, [], "")}
    shown = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in given.items()}
    return h("div", [h("span", h("span", name, cls="muted"), " ", value) for name, value in shown.items()], cls="line")
