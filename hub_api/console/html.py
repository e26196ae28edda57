"""HTML that escapes by construction: text is escaped, only ``Html`` passes as it is."""

from html import escape
from typing import Any, Final

VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def h(tag: str, *children: Any, **attributes: Any) -> Html:
    """An element. A child that is no ``Html`` is escaped, a list is flattened, None and False are left out.

    ``cls`` is the class; ``aria_label`` becomes ``aria-label``; an attribute that is None or False is left out,
    one that is True has no value.
    """
    head = tag + "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID:
        return Html(f"<{head}>")
    return Html(f"<{head}>{join(*children)}</{tag}>")


def join(*children: Any) -> Html:
    """Children one after another, without an element around them."""
    return Html("".join(_text(child) for child in children))


def _text(child: Any) -> str:
    match child:
        case None | False:
            return ""
        case Html():
            return child
        case list() | tuple():
            return "".join(_text(inner) for inner in child)
        case _:
            return escape(str(child))


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = "class" if name == "cls" else name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
