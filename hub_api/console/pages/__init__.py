"""The pages, one file a concern. Importing this registers them all; a new page adds its name to ``ALL``, before the
last one, which answers every other address."""

from importlib import import_module
from typing import Final

ALL: Final = (
    "search",
    "stock",
    "points",
    "decisions",
    "estate",
    "messages",
    "quarantine",
    "mappings",
    "runs",
    "rules",
    "audit",
    "unknown",
)

for _name in ALL:
    import_module(f"{__name__}.{_name}")
