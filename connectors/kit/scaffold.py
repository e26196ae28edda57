"""Writes the first files of a connector, from which one fills in."""

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from canonical_model.errors import ConfigurationError
from connectors.kit.templates import FILES

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,29}")
_TAKEN: Final = frozenset({"kit", "hub"})


def scaffold(name: str, target: Path) -> list[Path]:
    """Write a REST push connector ``name`` into the source tree ``target``; the files written, in order.

    Nothing is overwritten: ConfigurationError if a file exists already, or if the name cannot be a package.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in _TAKEN:
        raise ConfigurationError(
            f"{name!r} cannot name a connector; use 2 to 30 small letters, digits and underscores, such as 'crm'"
        )
    words = {
        "name": name,
        "title": name.replace("_", " ").upper(),
        "camel": "".join(part.capitalize() for part in name.split("_")),
    }
    files = {
        target / Template(path).substitute(words): Template(text).substitute(words) for path, text in FILES.items()
    }
    for path in files:
        if path.exists():
            raise ConfigurationError(f"{path} exists already; choose another name or remove it")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def _filled(template: str, words: Mapping[str, str]) -> str:
    return Template(template).substitute(words)
