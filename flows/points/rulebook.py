"""The points rulebook: programmes, rates of exchange and their dates as data. One document a group.

    zone = "Asia/Shanghai"                  # dates below begin at midnight here

    [programmes."yunshang/stars"]
    title = "Stars"
    issuer = "yunshang"
    [[programmes."yunshang/stars".earn]]
    name = "base"
    points = 1
    per_minor = 100                         # a point for each yuan

    [[exchange]]
    from = "yunshang/stars"
    to = "linmu/leaves"
    give = 3
    get = 2
    spread = "0.02"

A programme is named ``brand/code``; a name without a brand is an outside unit, kept by its exchange's ``provider``.
"""

import re
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from canonical_model.errors import Issue, NotFoundError, RecordError, RejectedError
from flows.points.checks import wrong_with
from flows.points.dates import local_date
from flows.points.programme import ExchangeRule, Programme
from flows.rule_document import read_document

MAX_PROGRAMMES: Final = 100
MAX_EXCHANGES: Final = 200
MAX_NAMED: Final = 20
_PROGRAMME: Final = re.compile(r"[^\s/]{1,60}/[^\s/]{1,59}")


class PointsRulebook:
    """A parsed document. ``text`` as it was written; ``fingerprint`` tells it from others; ``version`` 0 until
    published. RecordError: everything that is wrong with it."""

    def __init__(self, text: str, version: int = 0) -> None:
        document = read_document(text)
        self.text: Final = text
        self.version: Final = version
        self.fingerprint: Final = sha256(text.encode()).hexdigest()
        self.zone: Final = _zone(document.pop("zone", "Asia/Shanghai"))
        programmes, exchange = document.pop("programmes", {}), document.pop("exchange", [])
        issues = [Issue(key, "rules.invalid", "no such table; remove it") for key in document]
        self._programmes: Final = _programmes(programmes, self.zone, issues)
        self.exchanges: Final = _exchanges(exchange, issues)
        if not issues:
            issues += wrong_with(self._programmes, self.exchanges)
        if issues:
            raise RecordError(issues)

    @property
    def programmes(self) -> list[str]:
        """The programmes, by name."""
        return sorted(self._programmes)

    @property
    def outside(self) -> dict[str, str]:
        """The outside units that are exchanged, each with the system that keeps it."""
        sides = [(side, rule.provider) for rule in self.exchanges for side in (rule.from_, rule.to)]
        return {side: provider for side, provider in sides if provider and side not in self._programmes}

    def programme(self, name: str) -> Programme:
        """The programme ``brand/code``. NotFoundError names those that there are."""
        if name not in self._programmes:
            known = ", ".join(self.programmes[:MAX_NAMED]) or "none yet, publish a rulebook with one"
            raise NotFoundError(f"there is no programme {name!r}; there is {known}", code="points.no_programme")
        return self._programmes[name]

    def exchange(self, from_: str, to: str, happened_at: datetime) -> ExchangeRule:
        """The rate on the day of ``happened_at`` in the rulebook's zone.

        RejectedError ``exchange.no_rate`` says on which dates there is one.
        """
        day = local_date(self.zone, happened_at)
        dated = [rule for rule in self.exchanges if (rule.from_, rule.to) == (from_, to)]
        found = next((rule for rule in dated if rule.covers(day)), None)
        if found is None:
            raise RejectedError(
                f"{from_} has no rate into {to} on {day}; {_dates(dated)}", code="exchange.no_rate", day=day.isoformat()
            )
        return found


def _dates(rules: list[ExchangeRule]) -> str:
    if not rules:
        return "the rulebook has none at all, exchange into something else or publish one"
    periods = [
        " ".join(
            part
            for part in (
                f"from {rule.from_date}" if rule.from_date else "",
                f"until {rule.until}" if rule.until else "",
            )
            if part
        )
        for rule in sorted(rules, key=lambda rule: rule.starts)[:10]
    ]
    return f"there are rates {', '.join(periods)}"


def _zone(key: Any) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except (ValueError, TypeError, AttributeError, OSError, LookupError) as error:
        detail = 'this is no time zone; write one such as "Asia/Shanghai"'
        raise RecordError([Issue("zone", "rules.zone", detail)]) from error


def _programmes(tables: Any, zone: ZoneInfo, issues: list[Issue]) -> dict[str, Programme]:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        issues.append(Issue("programmes", "rules.programmes", 'write [programmes."brand/code"] tables'))
        return {}
    if len(tables) > MAX_PROGRAMMES:
        issues.append(Issue("programmes", "rules.programmes", f"at most {MAX_PROGRAMMES} programmes; remove some"))
        return {}
    parsed: dict[str, Programme] = {}
    for name, table in tables.items():
        where = ("programmes", name)
        if not _PROGRAMME.fullmatch(name) or not name.isprintable():
            issues.append(Issue(f"programmes.{name[:120]!r}", "rules.programmes", "name a programme brand/code"))
        elif taken := sorted({"name", "zone"} & set(table)):
            issues.append(
                Issue(".".join((*where, taken[0])), "rules.invalid", "a programme has no such key; remove it")
            )
        else:
            try:
                parsed[name] = Programme.model_validate({**table, "name": name, "zone": zone})
            except ValidationError as error:
                issues += _issues(where, error)
    return parsed


def _exchanges(tables: Any, issues: list[Issue]) -> tuple[ExchangeRule, ...]:
    if not isinstance(tables, list) or len(tables) > MAX_EXCHANGES:
        issues.append(Issue("exchange", "rules.exchange", f"write at most {MAX_EXCHANGES} [[exchange]] tables"))
        return ()
    parsed: list[ExchangeRule] = []
    for index, table in enumerate(tables):
        try:
            parsed.append(ExchangeRule.model_validate(table))
        except ValidationError as error:
            issues += _issues(("exchange", index), error)
    return tuple(parsed)


def _issues(where: tuple[str | int, ...], error: ValidationError) -> list[Issue]:
    return [
        Issue(".".join(map(str, (*where, *each["loc"]))), "rules.invalid", each["msg"].removeprefix("Value error, "))
        for each in error.errors(include_url=False, include_input=False)
    ]


DEFAULT: Final = PointsRulebook("")
"""The rules of a group that has published none: no programme."""
