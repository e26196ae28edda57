"""Small rulebooks for tests."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from flows.points.programme import Programme
from flows.points.rulebook import PointsRulebook

ROOT: Final = Path(__file__).parents[4]
EXAMPLE: Final = (ROOT / "docs" / "examples" / "points" / "rules.toml").read_text(encoding="utf-8")
SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
NOON: Final = datetime(2026, 6, 15, 4, tzinfo=UTC)
HEAD: Final = '[programmes."yunshang/stars"]\ntitle = "Stars"\nissuer = "yunshang"\n'
GROWTH: Final = '[programmes."yunshang/growth"]\ntitle = "Growth"\nissuer = "yunshang"\n'


def stars(rules: str, more: str = "") -> Programme:
    """The programme yunshang/stars with these keys and tables; ``EARN`` and ``CAP`` stand for their table heads."""
    for word, key in (("EARN", "earn"), ("CAP", "caps"), ("SPEND", "spend")):
        rules = rules.replace(word, f'[[programmes."yunshang/stars".{key}]]')
    return PointsRulebook(HEAD + rules + "\n" + more).programme("yunshang/stars")
