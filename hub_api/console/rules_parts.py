"""Routing rules as people read them: sentences above the text, and what another text would change."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.one_stock.routing.rulebook import Filters, Rules, Tier
from hub_api.console.html import Html, h, join
from hub_api.console.view import View
from hub_api.console.widgets import Column, code, empty, issues, link, moment, panel, state, table
from hub_api.console.words import NOTHING, Words
from hub_api.routing_rules import Change, Checked, RulesState

ENDINGS = {"_s": "seconds", "_minor": "money", "_km": "km", "_days": "days"}


def summary(view: View, rules: Rules) -> Html:
    """What the base says, in the order in which it is applied."""
    words = view.words
    return h(
        "div",
        h("div", h("h3", words("rules.who")), _filters(words, rules.filters), cls="side"),
        h("div", h("h3", words("rules.which")), _tiers(words, rules.tiers), h("p", _split(words, rules)), cls="side"),
        h("div", h("h3", words("rules.costs")), h("p", _cost(words, rules)), cls="side"),
        h("div", h("h3", words("rules.when_short")), h("p", _short(words, rules)), _times(words, rules), cls="side"),
        cls="rules-summary",
    )


def own_rules(view: View, found: RulesState) -> Html:
    """What channels say otherwise."""
    words = view.words
    columns = [Column("field.channel", "code"), Column("rules.rule"), Column("rules.base"), Column("rules.own")]
    rows = [
        (
            code(each.channel),
            words.name("rule", each.rule),
            h("span", value(words, each.rule, each.before), cls="muted"),
            h("b", value(words, each.rule, each.after)),
        )
        for each in found.own
    ]
    body = table(words, columns, rows, caption="rules.channels") if rows else h("p", words("rules.no_channels"))
    return panel(words("rules.channels"), body)


def checked(view: View, found: Checked) -> Html:
    """What is wrong with a text, or what it would change."""
    words = view.words
    if found.issues:
        wrong = [{"field": each.field, "code": each.code, "detail": each.detail} for each in found.issues]
        return h("div", h("b", words("rules.wrong")), issues(words, wrong), cls="note bad")
    if not found.changes:
        return h("div", words("rules.nothing_changes" if not found.lines else "rules.only_words"), cls="note")
    return panel(words("rules.changes"), changes(view, found.changes))


def changes(view: View, found: Sequence[Change]) -> Html:
    """Rules that become others, before and after."""
    words = view.words
    columns = [Column("field.channel"), Column("rules.rule"), Column("rules.before"), Column("rules.after")]
    rows = [
        (
            words("rules.every_channel") if each.channel == "base" else code(each.channel),
            words.name("rule", each.rule),
            h("span", value(words, each.rule, each.before), cls="muted"),
            h("b", value(words, each.rule, each.after)),
        )
        for each in found
    ]
    return table(words, columns, rows, caption="rules.changes")


def difference(lines: Sequence[str]) -> Html:
    """Lines of a text beside those of another; ``…`` stands for lines that are the same."""
    tones = {"+": "plus", "-": "minus"}
    return h("pre", [h("span", line or " ", cls=f"row {tones.get(line[:1], '')}") for line in lines], tabindex="0",
             cls="difference")  # fmt: skip


def history(view: View, found: RulesState) -> Html:
    """The versions there were."""
    words = view.words
    if not found.history:
        return panel(words("rules.history"), empty(words("rules.none"), words("rules.none_advice")))
    columns = [
        Column("rules.version"),
        Column("column.state"),
        Column("rules.note"),
        Column("mapping.author", "code"),
        Column("rules.published", "time"),
        Column("rules.fingerprint", "code"),
    ]
    rows = [
        (
            link(f"v{each.version}", view.link("/rules", version=each.version)),
            state(words, "mapping_state", "in_force") if each.version == found.latest else None,
            each.note,
            code(each.published_by),
            moment(words, each.published_at),
            h("code", each.fingerprint[:12], cls="muted"),
        )
        for each in found.history
    ]
    return panel(words("rules.history"), table(words, columns, rows, caption="rules.history"))


def value(words: Words, rule: str, given: Any) -> str:
    """A rule's value as a person reads it."""
    match given:
        case None | [] | "":
            return NOTHING
        case bool():
            return words("yes" if given else "no")
        case list() if rule == "tiers":
            return " → ".join(_tier_name(words, Tier.model_validate(each)) for each in given)
        case list():
            return ", ".join(map(str, given))
        case int() | float():
            return _figure(words, rule, given)
    return words.name("rule_value", str(given))


def _figure(words: Words, rule: str, given: float) -> str:
    kind = next((kind for ending, kind in ENDINGS.items() if rule.endswith(ending) and rule != "per_km"), "")
    if kind == "seconds":
        return words("rules.not_at_all") if given == 0 else words.span(given)
    if kind == "money":
        return words.money(int(given), "CNY")
    return words(f"rules.{kind}", count=f"{given:,g}") if kind else f"{given:,g}"


def _tier_name(words: Words, tier: Tier) -> str:
    within = [f"{tier.tolerance:.0%}"] if tier.tolerance else []
    within += [f"{tier.slack:g}"] if tier.slack else []
    name = words.name("tier", tier.by)
    return f"{name} (+{' + '.join(within)})" if within else name


def _tiers(words: Words, tiers: Sequence[Tier]) -> Html:
    steps = []
    for number, tier in enumerate(tiers, 1):
        within = []
        if tier.tolerance and number < len(tiers):
            within.append(words("rules.tolerance", share=f"{tier.tolerance:.0%}"))
        if tier.slack and number < len(tiers):
            within.append(words("rules.slack", count=f"{tier.slack:g}"))
        told = h("span", ", ".join(within), cls="muted") if within else None
        steps.append(h("li", h("b", words.name("tier", tier.by)), " ", told))
    return h("ol", steps, cls="numbered")


def _filters(words: Words, filters: Filters) -> Html:
    given: Mapping[str, Any] = filters.model_dump(mode="json")
    said = []
    for name, what in given.items():
        if isinstance(what, bool):
            said.append((words(f"rules.{name}_{'on' if what else 'off'}"), what))
        elif what not in (None, []):
            told = f"{words.name('rule', f'filters.{name}')}: {value(words, f'filters.{name}', what)}"
            said.append((told, True))
    said.sort(key=lambda each: not each[1])
    return h("ul", [h("li", text, cls=None if counts else "muted") for text, counts in said], cls="bullets")


def _cost(words: Words, rules: Rules) -> str:
    return words(
        "rules.cost", parcel=f"{rules.parcel_cost:,g}", km=f"{rules.per_km:,g}", unknown=f"{rules.unknown_km:,g}"
    )


def _split(words: Words, rules: Rules) -> Html:
    said = [words("rules.parcels", count=rules.max_parcels)]
    if rules.keep_order_together:
        said.append(words("rules.together"))
    elif not rules.split_lines:
        said.append(words("rules.lines_whole"))
    if rules.min_parcel_value_minor:
        said.append(words("rules.least_value", value=words.money(rules.min_parcel_value_minor, "CNY")))
    return join(" ".join(said))


def _short(words: Words, rules: Rules) -> str:
    if rules.on_short == "queue":
        return words("rules.short_queue", wait=words.span(rules.queue_for_s), every=words.span(rules.queue_retry_s))
    return words(f"rules.short_{rules.on_short}")


def _times(words: Words, rules: Rules) -> Html:
    said = []
    if rules.release_after_s:
        said.append(words("rules.release", wait=words.span(rules.release_after_s)))
    if rules.ship_within_s:
        said.append(words("rules.ship", wait=words.span(rules.ship_within_s)))
    if rules.minimum_remaining_days:
        said.append(words("rules.life", count=rules.minimum_remaining_days))
    if rules.published_safety:
        said.append(words("rules.safety", count=rules.published_safety))
    said.append(words("rules.hold", wait=words.span(rules.hold_ttl_s)))
    return h("ul", [h("li", each) for each in said], cls="bullets")
