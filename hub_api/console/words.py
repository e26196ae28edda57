"""What the console says, in the viewer's language, zone and number format. Texts are in ``text/<language>.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote
from zoneinfo import ZoneInfo, available_timezones

LANGUAGES: Final = ("zh", "en")
HTML_LANGUAGE: Final = {"zh": "zh-CN", "en": "en-US"}
SIGNS: Final = {"CNY": "¥", "HKD": "HK$", "USD": "$", "EUR": "€"}
NOTHING: Final = "–"
_FOLDER: Final = Path(__file__).parent / "text"


@cache
def texts(language: str) -> Mapping[str, str]:
    """Every text of a language by its dotted key."""
    return dict(_flat("", tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))))


@dataclass(frozen=True, slots=True)
class Words:
    """Texts, times and numbers as one viewer reads them. ``zone`` is an IANA name."""

    language: str = "zh"
    zone: str = "UTC"

    @property
    def html_language(self) -> str:
        """The value of the ``lang`` attribute."""
        return HTML_LANGUAGE[self.language]

    def __call__(self, key: str, /, **values: Any) -> str:
        """The text of ``key`` with ``values`` put in. KeyError if there is none: a test finds that."""
        return texts(self.language)[key].format(**values)

    def find(self, key: str) -> str | None:
        """The text of ``key`` with its places open, or None."""
        return texts(self.language).get(key)

    def name(self, kind: str, word: str | None) -> str:
        """The text of ``kind.word``, or the word itself where there is none (a flow or step that came later)."""
        return texts(self.language).get(f"{kind}.{word}", word or NOTHING)

    def time(self, moment: datetime | None) -> str:
        """``11-22 17:31:05`` in the viewer's zone, with the year if it is not the present one."""
        if moment is None:
            return NOTHING
        local = moment.astimezone(ZoneInfo(self.zone))
        form = "%m-%d %H:%M:%S" if local.year == datetime.now(ZoneInfo(self.zone)).year else "%Y-%m-%d %H:%M:%S"
        return local.strftime(form)

    def full_time(self, moment: datetime) -> str:
        """Date, time, milliseconds and zone."""
        local = moment.astimezone(ZoneInfo(self.zone))
        return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {self.zone}"

    def ago(self, moment: datetime | None) -> str:
        """How long since: ``12 s``, ``4 min``, ``3 h``, ``2 d``."""
        return NOTHING if moment is None else self.span((datetime.now(UTC) - moment).total_seconds())

    def span(self, seconds: float) -> str:
        """A length of time in its largest fitting unit."""
        if seconds < 1:
            return self("unit.ms", count=max(round(seconds * 1000), 0))
        for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
            if seconds >= length:
                return self(f"unit.{unit}", count=int(seconds // length))
        return self("unit.second", count=f"{seconds:.1f}" if seconds < 10 else int(seconds))

    def number(self, value: int | None) -> str:
        """``12,345``."""
        return NOTHING if value is None else f"{value:,}"

    def money(self, minor: int | None, currency: str) -> str:
        """``¥1,234.50`` of an amount in cents."""
        if minor is None:
            return NOTHING
        return f"{SIGNS.get(currency, currency + ' ')}{Decimal(minor) / 100:,.2f}"


def words_of(cookies: Mapping[str, str], accept_language: str) -> Words:
    """The words for a browser: its cookies first, then the languages it accepts, then Chinese and UTC."""
    language = cookies.get("yipan_language", "")
    if language not in LANGUAGES:
        wanted = (part.strip()[:2].lower() for part in accept_language.split(","))
        language = next((each for each in wanted if each in LANGUAGES), LANGUAGES[0])
    zone = unquote(cookies.get("yipan_zone", ""))
    return Words(language, zone if zone in _zones() else "UTC")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _flat(prefix: str, table: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        found += _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else [(prefix + key, value)]
    return found
