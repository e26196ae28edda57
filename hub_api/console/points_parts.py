"""Points as pages show them: programmes, a member's accounts, lots, journal and the proof of a balance."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from hub_api.console.html import Html, h, join
from hub_api.console.view import View
from hub_api.console.widgets import Column, code, empty, facts, link, moment, pager, panel, state, table
from hub_api.console.words import NOTHING

MEMBER: Final = "/points/member"
MOST_LOTS: Final = 50
MOST_ARROWS: Final = 6
MOST_CHANGES: Final = 8
LENGTH: Final = len("2026-03-01T12:00:00")

Told = Mapping[str, Any]


def programmes(view: View, found: Sequence[Told], issuers: Sequence[Told]) -> Html:
    """Each programme with what it earns and pays, and what is outstanding of it."""
    words = view.words
    columns = [
        Column("points.programme"),
        Column("points.issuer"),
        Column("points.earns"),
        Column("points.pays"),
        Column("points.ends"),
        Column("points.outstanding", "number"),
        Column("points.liability", "number"),
    ]
    rows = []
    for each in found:
        own = [row for row in issuers if row["programme"] == each["name"]]
        rows.append(
            (
                join(h("b", each["title"]), " ", code(each["name"])),
                each["issuer"],
                _earns(view, each["earn"]),
                _pays(view, each["spend"]),
                _ends(view, each["expiry"]),
                words.number(sum(row["outstanding"] for row in own)) if own else NOTHING,
                words.money(sum(row["liability_minor"] for row in own), "CNY") if own else NOTHING,
            )
        )
    none = empty(words("points.no_programmes"), words("points.no_programmes_advice"))
    return panel(words("points.programmes"), table(words, columns, rows, caption="points.programmes") if rows else none)


def proofs(view: View, found: Told) -> Html:
    """How far the journal is sealed, and what the last look at the books said."""
    words, seal, verified = view.words, found["seal"], found["verified"]
    sound = None
    if verified:
        sound = state(words, "points_books", "sound" if not verified["broken"] else "broken")
    return facts(
        words,
        [
            ("points.sealed_entries", words.number(seal["entries"]) if seal else words("points.not_yet")),
            ("points.sealed_at", moment(words, seal["sealed_at"]) if seal else None),
            ("points.head", code(seal["hash"][:16]) if seal else None),
            (
                "points.verified",
                join(sound, " ", moment(words, verified["at"]), " ", verified["by"])
                if verified
                else words("points.not_yet"),
            ),
        ],
    )


def transfers(view: View, found: Told) -> Html:
    """The brand's newest transfers."""
    words = view.words
    columns = [
        Column("field.id", "code"),
        Column("field.kind"),
        Column("points.reference", "code"),
        Column("field.happened_at", "time"),
        Column("field.recorded_at", "time"),
    ]
    rows = [
        (
            transfer_link(view, row["id"]),
            words.name("points_kind", row["kind"]),
            code(row["reference"] or NOTHING),
            moment(words, row["happened_at"]),
            moment(words, row["recorded_at"]),
        )
        for row in found["items"]
    ]
    none = empty(words("points.no_transfers"), words("points.no_transfers_advice"))
    body = table(words, columns, rows, caption="points.transfers") if rows else none
    more = pager(view, "/points", found["next"], "after", reference=view.arg("reference"))
    return panel(words("points.transfers"), body, more)


def accounts(view: View, found: Told, chosen: str | None) -> Html:
    """What a member has of each programme; one of them is looked at more closely."""
    words = view.words
    columns = [
        Column("points.programme"),
        Column("points.available", "number"),
        Column("points.held", "number"),
        Column("points.arrears", "number"),
        Column("points.level"),
        Column("points.next_end", "time"),
    ]
    rows = [
        (
            link(
                h("span", h("b", each["title"]), " ", code(each["programme"]), cls="place"),
                view.link(MEMBER, who=view.arg("who"), programme=each["programme"]),
                aria_current="true" if each["programme"] == chosen else None,
            ),
            h("b", words.number(each["available"])),
            words.number(each["held"]),
            h("span", words.number(each["arrears"]), cls="minus" if each["arrears"] else "muted"),
            _level(view, each),
            _next_end(view, each["next_expiry"]),
        )
        for each in found["programmes"]
    ]
    none = empty(words("points.no_accounts"), words("points.no_accounts_advice"))
    return panel(words("points.accounts"), table(words, columns, rows, caption="points.accounts") if rows else none)


def why(view: View, proof: Told) -> Html:
    """The proof of a balance in sentences, and what was recorded lately."""
    words = view.words
    since = proof["since"]
    terms = [
        h("li", words.name("points_kind", row["kind"]), " ", _signed(row["points"]), cls="line")
        for row in proof["by_kind"]
    ]
    said = words(
        "points.is_so",
        posted=words.number(proof["posted"]),
        lots=words.number(len(proof["lots"])),
        available=words.number(proof["available"]),
        held=words.number(proof["held"]),
        due=words.number(proof["due"]),
    )
    was = words("points.was", was=words.number(since["was"]), at=words.time(since["at"]), now=words.number(since["is"]))
    changes = [_change(view, each, since["at"]) for each in since["changes"][:MOST_CHANGES]]
    if (left := len(since["changes"]) - MOST_CHANGES) > 0:
        changes.append(h("li", words("points.more_changes", count=left), cls="muted"))
    return panel(
        words("points.why"),
        h(
            "p",
            h("b", said),
            " ",
            state(words, "points_books", "sound" if proof["adds_up"] else "broken"),
            cls="answer",
        ),
        h("ul", terms, cls="sums"),
        h("p", was),
        h("ul", changes, cls="bullets") if changes else h("p", words("points.no_changes"), cls="muted"),
        beside=h("span", words("points.cut"), cls="muted") if proof["cut"] else None,
        cls="side-panel told-panel",
    )


def lots(view: View, found: Sequence[Told]) -> Html:
    """The lots with points left, in the order in which they are spent, and where their points went."""
    words = view.words
    columns = [
        Column("points.lot", "code"),
        Column("points.origin"),
        Column("points.issuer"),
        Column("points.earned_at", "time"),
        Column("points.ends", "time"),
        Column("points.came", "number"),
        Column("points.went"),
        Column("points.left", "number"),
    ]
    rows = [
        (
            h("span", code(lot["id"]), id=f"lot-{lot['id']}"),
            _origin(view, lot["transfer_id"], lot["origin_reference"] or lot["origin_key"]),
            lot["issuer"],
            moment(words, lot["earned_at"]),
            moment(words, lot["due"]) if lot["due"] else h("span", words("points.never"), cls="muted"),
            words.number(lot["amount"]),
            _went(view, lot["went"]),
            h("b", words.number(lot["remaining"])),
        )
        for lot in found[:MOST_LOTS]
    ]
    more = h("p", words("points.more_lots", count=len(found) - MOST_LOTS), cls="muted")
    body = table(words, columns, rows, caption="points.lots") if rows else h("p", words("points.no_lots"), cls="muted")
    return panel(words("points.lots"), body, more if len(found) > MOST_LOTS else None)


def journal(view: View, found: Told, query: Mapping[str, Any]) -> Html:
    """What moved a member's points, newest first; an arrow from each debit to the lots that it took from."""
    words = view.words
    columns = [
        Column("field.id", "code"),
        Column("field.happened_at", "time"),
        Column("field.recorded_at", "time"),
        Column("field.kind"),
        Column("points.reference", "code"),
        Column("points.change", "number"),
        Column("points.from_lots"),
    ]
    rows = [
        (
            transfer_link(view, entry["id"]),
            moment(words, entry["happened_at"]),
            moment(words, entry["recorded_at"]),
            words.name("points_kind", entry["kind"]),
            code(entry["reference"] or NOTHING),
            h("span", [_changed(each) for each in entry["changes"]], cls="lots"),
            _arrows(view, entry["postings"]),
        )
        for entry in found["items"]
    ]
    body = table(words, columns, rows, caption="points.journal") if rows else h("p", words("points.no_journal"))
    return panel(words("points.journal"), body, pager(view, MEMBER, found["next"], "after", **query))


def transfer(view: View, found: Told) -> Html:
    """A transfer's postings, each with its account and lot."""
    words = view.words
    columns = [
        Column("points.asset"),
        Column("points.account"),
        Column("points.holder", "code"),
        Column("points.change", "number"),
        Column("points.lot", "code"),
        Column("points.issuer"),
        Column("points.ends", "time"),
    ]
    rows = [
        (
            code(each["asset"]),
            words.name("points_account", each["account_kind"]),
            _holder(view, each),
            _signed(each["amount"]),
            code(each["lot_id"]),
            each["issuer"] or NOTHING,
            moment(words, each["due"]),
        )
        for each in found["postings"]
    ]
    return panel(words("points.postings"), table(words, columns, rows, caption="points.postings"))


def transfer_facts(view: View, found: Told) -> Html:
    """What a transfer is, and what takes it back."""
    words = view.words
    back = join(*([transfer_link(view, each), " "] for each in found["reversed_by"])) if found["reversed_by"] else None
    return facts(
        words,
        [
            ("points.reference", code(found["reference"]) if found["reference"] else None),
            ("field.key", code(found["key"])),
            ("field.happened_at", moment(words, found["happened_at"])),
            ("field.recorded_at", moment(words, found["recorded_at"])),
            ("points.rules_version", str(found["rules_version"]) if found["rules_version"] else None),
            ("points.reverses", transfer_link(view, found["reverses"]) if found["reverses"] else None),
            ("points.reversed_by", back),
        ],
    )


def times(view: View, programme: str) -> Html:
    """A form for the two times at which a balance is looked at."""
    words = view.words
    kept = {"who": view.arg("who"), "programme": programme}
    return h(
        "form",
        [h("input", type="hidden", name=name, value=value) for name, value in kept.items()],
        [
            h("label", h("span", words(f"points.{name}")), h("input", type="datetime-local", name=name,
              value=view.arg(name)))
            for name in ("happened", "recorded")
        ],
        h("button", words("points.look"), type="submit"),
        action=view.link(MEMBER),
        method="get",
        cls="filters",
    )  # fmt: skip


def as_of(view: View, found: Told) -> Html:
    """What a member had at these times."""
    words = view.words
    shares = [h("li", code(each["holder"]), f" {words.number(each['points'])}") for each in found["holders"]]
    return h(
        "div",
        h("p", h("b", words("points.had", points=words.number(found["points"])))),
        h("ul", shares, cls="bullets") if len(shares) > 1 else None,
        cls="note",
    )


def moment_arg(view: View, name: str) -> datetime | None:
    """A time that was picked, in the viewer's zone; None if there is none, or it is none."""
    try:
        typed = datetime.fromisoformat((view.arg(name) or "")[:LENGTH])
    except ValueError:
        return None
    return typed.replace(tzinfo=ZoneInfo(view.words.zone)) if 1900 < typed.year < 2200 else None


def transfer_link(view: View, transfer_id: int) -> Html:
    """To a transfer's page."""
    return link(code(transfer_id), view.link(f"/points/transfers/{transfer_id}"))


def _earns(view: View, rules: Sequence[Told]) -> Html:
    words = view.words
    said = []
    for rule in rules:
        if "points" in rule:
            text = words("points.earns_each", points=rule["points"], money=words.money(rule["per_minor"], "CNY"))
        elif "multiply" in rule:
            text = words("points.earns_times", factor=rule["multiply"])
        else:
            text = words("points.earns_more", points=rule["add"])
        said.append(h("span", text, " ", h("span", rule["name"], cls="muted"), cls="lot"))
    return h("span", said, cls="lots") if said else h("span", NOTHING, cls="muted")


def _pays(view: View, rules: Sequence[Told]) -> str:
    return "; ".join(view.words("points.pays_each", points=rule["points_per_100_minor"]) for rule in rules) or NOTHING


def _ends(view: View, expiry: Told) -> str:
    words = view.words
    match expiry["kind"]:
        case "months":
            return words("points.ends_months", months=expiry["months"])
        case "date":
            return words("points.ends_date", month=expiry["month"], day=expiry["day"])
    return words("points.never")


def _level(view: View, account: Told) -> Html:
    above = account["next_level"]
    more = None
    if above:
        more = view.words("points.to_next", missing=view.words.number(above["missing"]), level=above["name"])
    return h("span", account["level"] or NOTHING, h("span", " ", more, cls="muted") if more else None)


def _next_end(view: View, expiry: Told | None) -> Html:
    if not expiry:
        return h("span", NOTHING, cls="muted")
    return h("span", moment(view.words, expiry["due"]), f" × {view.words.number(expiry['points'])}", cls="lot")


def _signed(points: int) -> Html:
    return h("b", f"{points:+,}", cls="plus" if points > 0 else "minus")


def _changed(change: Told) -> Html:
    return h("span", _signed(change["points"]), " ", h("span", change["programme"], cls="muted"), cls="lot")


def _change(view: View, each: Told, since: datetime) -> Html:
    words = view.words
    late = h("span", " ", words("points.late"), cls="muted") if each["happened_at"] < since else None
    return h(
        "li",
        moment(words, each["recorded_at"]),
        " ",
        words.name("points_kind", each["kind"]),
        " ",
        transfer_link(view, each["transfer_id"]),
        " ",
        code(each["reference"]) if each["reference"] else None,
        " ",
        _signed(each["points"]),
        late,
    )


def _origin(view: View, transfer_id: int, name: str) -> Html:
    return link(code(name), view.link(f"/points/transfers/{transfer_id}"))


def _went(view: View, moved: Sequence[Told]) -> Html:
    shown = [
        h("span", view.words.name("points_kind", each["kind"]), " ", _signed(each["points"]), " ",
          transfer_link(view, each["transfer_id"]), cls="lot")
        for each in moved[:MOST_ARROWS]
    ]  # fmt: skip
    more = h("span", "…", cls="muted") if len(moved) > MOST_ARROWS else None
    return h("span", shown, more, cls="lots") if shown else h("span", NOTHING, cls="muted")


def _arrows(view: View, postings: Sequence[Told]) -> Html:
    """From a debit to each lot that it took from; a lot that is shown on the page is a link to it."""
    taken = [each for each in postings if each["points"] < 0 and each["lot_id"] is not None]
    shown = [
        h(
            "span",
            "→ ",
            link(code(each["origin_reference"] or f"#{each['lot_id']}"), f"#lot-{each['lot_id']}"),
            " ",
            _signed(each["points"]),
            h("span", " ", view.words("points.of_end", at=view.words.time(each["due"])), cls="muted")
            if each["due"]
            else None,
            cls="lot",
        )
        for each in taken[:MOST_ARROWS]
    ]
    more = h("span", "…", cls="muted") if len(taken) > MOST_ARROWS else None
    return h("span", shown, more, cls="lots") if shown else h("span", NOTHING, cls="muted")


def _holder(view: View, posting: Told) -> Html:
    if posting["account_kind"] not in ("member", "arrears"):
        return code(posting["holder"])
    return link(code(posting["holder"]), view.link(MEMBER, who=posting["holder"]))
