"""An edited record that a person saw masked: what they left masked is what it was."""

from typing import Any, Final

from canonical_model.errors import Issue, RecordError
from hub_api.masking import MASK
from mappings.paths import member

UNKNOWN: Final = "a field's name is still a mask; write the whole name, or leave the field out"


def unmask_untouched(edited: Any, shown: Any, original: Any) -> Any:
    """``edited`` with every value that still equals its mask in ``shown`` taken from ``original``.

    RecordError (``record.masked``) names each value that is a mask but not the one that was shown there.
    """
    issues: list[Issue] = []
    restored = _restore(edited, shown, original, "", issues)
    if issues:
        raise RecordError(issues)
    return restored


def _restore(edited: Any, shown: Any, original: Any, place: str, issues: list[Issue]) -> Any:
    match edited:
        case dict():
            names = _names(shown, original)
            issues += [Issue(place, "record.masked", UNKNOWN) for key in edited if MASK in key and key not in names]
            return {
                names.get(key, key): _restore(
                    value, _at(shown, key), _at(original, names.get(key)), member(place, str(key)), issues
                )
                for key, value in edited.items()
            }
        case list() if isinstance(shown, list) and len(shown) == len(edited):
            return [
                _restore(value, shown[n], _at(original, n), member(place, n), issues) for n, value in enumerate(edited)
            ]
        case list():
            return [_restore(value, None, None, member(place, n), issues) for n, value in enumerate(edited)]
        case str() if edited == shown and edited != original:
            return original
        case str() if MASK in edited and edited != original:
            issues.append(Issue(place, "record.masked", "is still a mask; write the whole value, or leave it as shown"))
    return edited


def _names(shown: Any, original: Any) -> dict[Any, Any]:
    """What each field that is shown is called; fields are shown in the order they came."""
    if isinstance(shown, dict) and isinstance(original, dict) and len(shown) == len(original):
        return dict(zip(shown, original, strict=True))
    return {}


def _at(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None
