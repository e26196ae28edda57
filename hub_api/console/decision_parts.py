"""A routing decision as pages show it: what was chosen and how surely, on a map, and every place with its why not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nicegui import ui

from hub_api.console.html import Html, h
from hub_api.console.map_parts import Dot, Way, draw_map
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, code, facts, link, moment, panel, state, table
from hub_api.console.words import NOTHING, Words
from hub_api.decisions import OrderDecisions, Tried

MOST_ABLE: Final = 12
MOST_REMOVED: Final = 8
OPEN_LINES: Final = 3
NEAREST: Final = 3
MOST_NAMES: Final = 14
CLOSE: Final = 0.005

Told = Mapping[str, Any]


def answer(view: View, told: Told) -> Html:
    """In a sentence or two: where from, and how sure that is."""
    words = view.words
    names = "、".join if words.language == "zh" else ", ".join
    places = names(parcel["place_name"] or parcel["place"] for parcel in told["parcels"])
    key = "decision.answer_from" if told["parcels"] else "decision.answer_none"
    said = words(key, places=places, action=words.name("routing", told["action"]))
    return h("p", h("b", said), " ", h("span", sureness(words, told), cls="muted"), cls="answer")


def nearer(view: View, told: Told) -> Html | None:
    """The nearest places that were not chosen though others farther away were, and why."""
    words = view.words
    chosen = {parcel["place"] for parcel in told["parcels"]}
    farthest = max((parcel["km"] or 0.0 for parcel in told["parcels"]), default=0.0)
    seen: dict[str, list[tuple[Told, Told]]] = {}
    for line in told["lines"]:
        for place in line["places"]:
            if place["place"] not in chosen and place["km"] is not None and place["km"] < farthest:
                seen.setdefault(place["place"], []).append((line, place))
    nearest = sorted(seen.values(), key=lambda found: found[0][1]["km"])[:NEAREST]
    said = [
        h(
            "li",
            _place(found[0][1]),
            " ",
            h("span", _km(words, found[0][1]["km"]), cls="muted"),
            " ",
            _passed_by(words, found),
        )
        for found in nearest
    ]
    return h("div", h("p", words("decision.nearer")), h("ul", said, cls="bullets"), cls="note") if said else None


def _passed_by(words: Words, found: Sequence[tuple[Told, Told]]) -> str:
    """Why one place was passed by, over all lines."""
    reasons = {place["removed_by"] for _, place in found}
    if len(reasons) == 1 and (reason := next(iter(reasons))) is not None:
        return words.name("removed", reason)
    able = sum(min(place["stock"], line["quantity"]) for line, place in found)
    return words("decision.could_send", units=able, all=sum(line["quantity"] for line, _ in found))


def sureness(words: Words, told: Told) -> str:
    """Whether a better plan can exist, and how much cheaper the cheapest one could be."""
    gap = f"{100 * told['gap']:.1f}"
    if told["stopped"] == "proved" and gap == "0.0":
        return words("decision.proved")
    if told["bound"] <= 0:
        return words("decision.unsure")
    key = {"proved": "proved_by_rules", "clock": "clock"}.get(told["stopped"], "within")
    return words(f"decision.{key}", gap=gap)


def draw_summary(view: View, found: OrderDecisions, told: Told) -> None:
    """What was decided beside where that is."""
    words = view.words
    with ui.element("div").classes("pair"):
        with ui.element("div").classes("part"):
            html(panel(words("decision.parcels"), parcels(view, told), beside=state(words, "routing", told["action"])))
            html(panel(words("decision.facts"), _facts(view, told), cls="side-panel"))
        with ui.element("div").classes("panel"):
            legend = [
                h("span", words(f"decision.{each}"), cls=f"legend {each}")
                for each in ("chosen", "other", "calm", "buyer")
            ]
            html(h("header", h("h2", words("stock.map")), h("div", legend, cls="beside"))).classes("panel-head")
            draw_map(*_drawn(words, found, told), label=words("stock.map"))
            html(h("p", words("decision.area" if found.area else "decision.no_area"), cls="muted map-note"))


def parcels(view: View, told: Told) -> Html:
    """What each place sends."""
    words = view.words
    if not told["parcels"]:
        return h("p", words("decision.nothing_sent"), cls="muted")
    columns = [
        Column("field.location"),
        Column("decision.lines"),
        Column("decision.km", "number"),
        Column("decision.cost", "number"),
    ]
    rows = [
        (
            _place(parcel),
            h("span", [_goods(view, line) for line in parcel["lines"]], cls="lots"),
            _km(words, parcel["km"]),
            f"{parcel['cost']:,.2f}",
        )
        for parcel in told["parcels"]
    ]
    return table(words, columns, rows, caption="decision.parcels")


def lines(view: View, told: Told) -> Html:
    """For every line each place that was considered: chosen, not chosen, removed."""
    return h("div", [_line(view, told, line, number) for number, line in enumerate(told["lines"])], cls="part")


def tried(view: View, found: Tried) -> Html:
    """A decision as it was, beside what other rules make of the same."""
    words = view.words
    named = words("decision.other_rules") if found.version is None else _rules_name(words, found.version)
    was = _rules_name(words, found.before["rules"]["version"])
    return h(
        "div",
        h("div", _verdict(words, found), cls="note"),
        h(
            "div",
            panel(words("decision.as_was", rules=was), _side(view, found.before), cls="side-panel"),
            panel(words("decision.as_would", rules=named), _side(view, found.after), cls="side-panel"),
            cls="pair",
        ),
        cls="part",
    )


def version_form(view: View, path: str, versions: Sequence[tuple[str, str]], **query: Any) -> Html:
    """A choice of published rules to decide by instead; choosing asks at once."""
    words, chosen = view.words, view.arg("rules")
    options = [h("option", words("decision.choose"), value="")]
    options += [h("option", text, value=number, selected=number == chosen) for number, text in versions]
    label = h("label", h("span", words("decision.version")), h("select", options, name="rules", cls="wide-select"))
    kept = [h("input", type="hidden", name=name, value=value) for name, value in query.items() if value is not None]
    button = h("button", words("decision.compare"), type="submit")
    return h("form", kept, label, button, action=view.link(path), method="get", cls="filters")


def km_of(told: Told) -> float:
    """What all parcels go together, as far as it is known."""
    return float(sum(parcel["km"] or 0.0 for parcel in told["parcels"]))


def unfilled_of(told: Told) -> int:
    """Units that no parcel carries."""
    return sum(line["unfilled"] for line in told["lines"])


def _rules_name(words: Words, version: int) -> str:
    return words("rules.heading", version=version) if version else words("rules.builtin")


def _verdict(words: Words, found: Tried) -> str:
    before, after = found.before, found.after
    if _sent(before) == _sent(after) and before["action"] == after["action"]:
        return words("decision.same")
    moved = [
        _moved(words, "decision.d_parcels", len(after["parcels"]) - len(before["parcels"]), ",.0f"),
        _moved(words, "decision.d_km", km_of(after) - km_of(before), ",.0f"),
        _moved(words, "decision.d_cost", after["cost"] - before["cost"], ",.2f"),
        _moved(words, "decision.d_unfilled", unfilled_of(after) - unfilled_of(before), ",.0f"),
    ]
    told = [each for each in moved if each]
    return words("decision.differs", changes=" · ".join(told)) if told else words("decision.elsewhere")


def _moved(words: Words, key: str, by: float, form: str) -> str:
    return words(key, by=f"{by:+{form}}") if abs(by) >= CLOSE else ""


def _sent(told: Told) -> list[Any]:
    return sorted(
        (parcel["place"], sorted((line["line_no"], line["quantity"]) for line in parcel["lines"]))
        for parcel in told["parcels"]
    )


def _side(view: View, told: Told) -> Html:
    words = view.words
    figures = [
        ("decision.action", state(words, "routing", told["action"])),
        ("decision.parcel_count", words.number(len(told["parcels"]))),
        ("decision.way", _km(words, km_of(told))),
        ("decision.cost", f"{told['cost']:,.2f}"),
        ("decision.unfilled", words.number(unfilled_of(told))),
        ("decision.sure", sureness(words, told)),
    ]
    return h("div", facts(words, figures), parcels(view, told), cls="part")


def _facts(view: View, told: Told) -> Html:
    words = view.words
    rules = told["rules"]
    version = rules["version"]
    tiers = " → ".join(words.name("tier", tier) for tier in told["tiers"])
    return facts(
        words,
        [
            ("decision.cost", f"{told['cost']:,.2f}"),
            ("decision.way", _km(words, km_of(told))),
            ("decision.unfilled", words.number(unfilled_of(told))),
            ("decision.sure", sureness(words, told)),
            ("decision.tiers", tiers),
            (
                "decision.rules",
                link(_rules_name(words, version), view.link("/rules", version=version)),
            ),
            ("field.channel", rules["channel"] or None),
            ("decision.cause", words.name("cause", told["cause"])),
            ("decision.decided_at", moment(words, told["decided_at"])),
            ("decision.searched", words("decision.nodes", count=words.number(told["nodes"]))),
        ],
    )


def _line(view: View, told: Told, line: Told, number: int) -> Html:
    words = view.words
    short = words("decision.line_short", count=line["unfilled"]) if line["unfilled"] else None
    heading = [
        h("h2", words("decision.line", number=line["line_no"], sku=line["sku"], quantity=line["quantity"])),
        h("div", h("span", short, cls="problem") if short else None, _considered(words, line), cls="beside"),
    ]
    return h("details", h("summary", heading), *_places(view, told, line), cls="panel", open=number < OPEN_LINES)


def _considered(words: Words, line: Told) -> str:
    left = sum(1 for place in line["places"] if place["removed_by"] is None)
    return words("decision.considered", left=left, all=len(line["places"]))


def _places(view: View, told: Told, line: Told) -> tuple[Html, Html | None]:
    words = view.words
    ordered = sorted(line["places"], key=lambda place: _rank(place, told["tiers"]))
    able = [place for place in ordered if place["removed_by"] is None]
    removed = [place for place in ordered if place["removed_by"] is not None]
    shown = able[: max(MOST_ABLE, sum(1 for place in able if place["chosen"]))] + removed[:MOST_REMOVED]
    columns = [
        Column("field.location"),
        Column("decision.km", "number"),
        Column("decision.stock", "number"),
        *(Column(f"tier_short.{tier}", "number") for tier in told["tiers"]),
        Column("decision.chosen_units", "number"),
        Column("decision.why"),
    ]
    worst = _worst_chosen(told, line)
    rows = [
        (
            h("b", _place(place)) if place["chosen"] else _place(place),
            _km(words, place["km"]),
            words.number(place["stock"]),
            *(_score(place["scores"].get(tier)) for tier in told["tiers"]),
            h("b", words.number(place["chosen"])) if place["chosen"] else h("span", NOTHING, cls="muted"),
            _why(view, told, line, place, worst),
        )
        for place in shown
    ]
    rest = Counter(place["removed_by"] or "able" for place in [*able, *removed] if place not in shown)
    more = ", ".join(f"{words.name('removed', word)} × {count}" for word, count in rest.most_common())
    note = h("p", words("decision.more_removed", reasons=more), cls="muted map-note") if rest else None
    return table(words, columns, rows, caption="decision.lines"), note


def _rank(place: Told, tiers: Sequence[str]) -> tuple[Any, ...]:
    """Chosen places first, then by score, then those that were removed, the nearest first."""
    removed = place["removed_by"] is not None
    scores = [place["scores"].get(tier, 0.0) for tier in tiers]
    far = place["km"] if place["km"] is not None else float("inf")
    nothing_there = place["removed_by"] == "no_stock"
    return -place["chosen"], removed, nothing_there, scores, far, place["place"]


def _worst_chosen(told: Told, line: Told) -> dict[str, float]:
    """Of the chosen places of a line, the worst score on each tier."""
    chosen = [place["scores"] for place in line["places"] if place["chosen"]]
    return {tier: max((scores.get(tier, 0.0) for scores in chosen), default=0.0) for tier in told["tiers"]}


def _why(view: View, told: Told, line: Told, place: Told, worst: Mapping[str, float]) -> Html:
    words = view.words
    if place["chosen"]:
        return state(words, "routing", "chosen")
    if place["removed_by"] is not None:
        return h("span", words.name("removed", place["removed_by"]), cls="removed lot")
    return h("span", _why_not(words, told, line, place, worst), cls="muted lot")


def _why_not(words: Words, told: Told, line: Told, place: Told, worst: Mapping[str, float]) -> str:
    """Why a place that could have sent was not chosen."""
    if not told["parcels"]:
        return words("decision.not_sent")
    if place["stock"] < line["quantity"]:
        return words("decision.too_few", stock=place["stock"], quantity=line["quantity"])
    for tier in told["tiers"]:
        score = place["scores"].get(tier, 0.0)
        if score > worst[tier] + CLOSE:
            return words("decision.worse", tier=words.name("tier_short", tier), score=_number(score),
                         best=_number(worst[tier]))  # fmt: skip
    return words("decision.plan_worse")


def _drawn(words: Words, found: OrderDecisions, told: Told) -> tuple[list[Dot], list[Way]]:
    sent = {parcel["place"]: sum(line["quantity"] for line in parcel["lines"]) for parcel in told["parcels"]}
    able = {p["place"] for line in told["lines"] for p in line["places"] if p["removed_by"] is None}
    most = max([1, *sent.values()])
    dots, ways = [], []
    for spot_code, spot in found.spots.items():
        if spot.lat is None or spot.lon is None:
            continue
        units = sent.get(spot_code, 0)
        named = bool(units) or len(found.spots) <= MOST_NAMES
        tone = "chosen" if units else "other" if spot_code in able else "calm"
        weight = 0.25 + 0.75 * units / most if units else 0.05 if spot_code in able else 0.0
        told_of = words("decision.dot", name=spot.name, units=units) if units else spot.name
        dots.append(Dot(spot.name, spot.lat, spot.lon, weight=weight, tone=tone, told=told_of, named=named))
        if units and found.area:
            ways.append(Way((spot.lon, spot.lat), (found.area[1], found.area[0])))
    if found.area:
        name = words("decision.buyer")
        dots.append(Dot(name, *found.area, weight=0.35, tone="buyer", told=name, symbol="pin"))
    return dots, ways


def _place(told: Told) -> Html:
    return h("span", told["place_name"], " ", h("code", told["place"], cls="muted"), cls="place")


def _goods(view: View, line: Told) -> Html:
    return h("span", link(code(line["sku"]), view.link(f"/stock/{line['sku']}")), f" × {line['quantity']}", cls="lot")


def _km(words: Words, km: float | None) -> str:
    return NOTHING if km is None else words("rules.km", count=f"{km:,.0f}")


def _score(score: float | None) -> Html | str:
    return h("span", NOTHING, cls="muted") if score is None else _number(score)


def _number(score: float) -> str:
    return f"{score:,.0f}" if score == int(score) or abs(score) >= 1_000 else f"{score:,.2f}"
