"""The console's icons: strokes on a 16 × 16 grid, in the colour of the text around them."""

from typing import Final

from hub_api.console.html import Html

_STROKES: Final = {
    "search": "M7 2.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 0 1 0-9zM10.4 10.4L14 14",
    "estate": "M2 3h5v4H2zM9 3h5v4H9zM2 9.5h5v4H2zM9 9.5h5v4H9z",
    "messages": "M2 9h3.5l1 2h3l1-2H14M2 9l2-6h8l2 6v4H2z",
    "quarantine": "M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.6v.2",
    "runs": "M1.5 8.5H5l2-5.5 3 10 1.8-4.5h2.7",
    "inbox": "M8 8a2.6 2.6 0 1 0 0-5.2a2.6 2.6 0 0 0 0 5.2zM3 13.6c.5-2.7 2.5-4 5-4M10 12.3l1.7 1.7 3-3.6",
    "stock": "M8 1.8l5.600 2.900v6.600L8 14.200l-5.600-2.900V4.700zM2.400 4.700L8 7.600l5.600-2.900M8 7.600v6.600",
    "points": "M8 2l1.8 3.8 4.2.5-3.1 2.9.8 4.2L8 11.3l-3.7 2.1.8-4.2L2 6.300l4.200-.5z",
    "rules": "M8 2v4M8 6L4 9.500M8 6l4 3.500M2.500 9.500h3V13h-3zM10.500 9.500h3V13h-3z",
    "audit": "M4 2h6l3 3v9H4zM6.5 7h4M6.5 9.5h4M6.5 12h2.5",
    "person": "M8 8a3 3 0 1 0 0-6a3 3 0 0 0 0 6zM2.5 14c.6-3 2.8-4.5 5.5-4.5s4.9 1.5 5.5 4.5",
    "moon": "M13 9.7A5.5 5.5 0 0 1 6.3 3A5.5 5.5 0 1 0 13 9.7z",
    "alert": "M8 1.8a6.2 6.2 0 1 1 0 12.4a6.2 6.2 0 0 1 0-12.4zM8 5v3.6M8 10.8v.2",
    "empty": "M2 9h3.5l1 2h3l1-2H14M2 9l2-6h8l2 6v4H2z",
}


def icon(name: str) -> Html:
    """The drawing of that name, or nothing if there is none. It says nothing to a screen reader."""
    if name not in _STROKES:
        return Html("")
    return Html(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor"'
        f' stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        f'<path d="{_STROKES[name]}"/></svg>'
    )
