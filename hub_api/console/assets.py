"""The console's own stylesheet and script: small files beside this module, served under ``/console/assets``."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from hub_api.console.html import Html, h, join

FOLDER: Final = Path(__file__).parent / "static"
MEDIA_TYPES: Final = {"console.css": "text/css", "console.js": "text/javascript", "sign_in.js": "text/javascript"}
FAVICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32'"
    " rx='8' fill='%231c5fb8'/%3E%3Ccircle cx='16' cy='16' r='8.500' fill='none' stroke='white' stroke-width='3'/%3E"
    "%3Ccircle cx='16' cy='16' r='2.500' fill='white'/%3E%3C/svg%3E"
)
GROUND: Final = {
    "light": "html{background:#f5f6f8}",
    "dark": "html{background:#10151b}",
    "auto": "html{background:#f5f6f8}@media(prefers-color-scheme:dark){html{background:#10151b}}",
}


@cache
def content(name: str) -> bytes:
    """The file of that name in ``MEDIA_TYPES``. KeyError for any other."""
    if name not in MEDIA_TYPES:
        raise KeyError(name)
    return (FOLDER / name).read_bytes()


def address(name: str) -> str:
    """Where a browser finds the file; another address whenever the file has changed."""
    return f"/console/assets/{name}?v={hashlib.sha256(content(name)).hexdigest()[:12]}"


def head(theme: str) -> Html:
    """What a page's head needs. The ground has its colour before the stylesheet is there."""
    return join(
        h("style", Html(GROUND.get(theme, GROUND["auto"]))),
        h("link", rel="stylesheet", href=address("console.css")),
        h("script", src=address("console.js"), defer=True),
    )
