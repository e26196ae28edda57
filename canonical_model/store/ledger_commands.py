"""What a command for the ledger may be, its fingerprint, and what is answered to one that is not done."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any, Final

import orjson

from canonical_model.errors import ConflictError, LimitError, NotFoundError, RejectedError
from canonical_model.ledger import MAX_COMMAND_LINES, MAX_KEY, MAX_POINTS, AccountKind, Command, Give, Take

MAX_NAME: Final = 200
MAX_DETAIL: Final = 65_536

_BOUNDED: Final = (AccountKind.MEMBER, AccountKind.ARREARS)


class Checked:
    """A command that is right by itself, with its fingerprint (hex) and its detail as JSON text."""

    __slots__ = ("command", "detail", "fingerprint")

    def __init__(self, command: Command) -> None:
        """Raises RejectedError (points.key, points.amount, points.account, points.expiry, points.unbalanced,
        points.detail) or LimitError (points.limit); its context names the key and the field."""
        _check(command)
        self.command = command = _in_utc(command)
        try:
            body = orjson.dumps(command, default=_as_dict, option=orjson.OPT_SORT_KEYS)
            self.detail = orjson.dumps(command.detail, default=_as_dict).decode() if command.detail else "{}"
        except TypeError as error:
            raise _wrong(command, "points.detail", "detail", f"must be JSON ({error})") from None
        if len(self.detail) > MAX_DETAIL or r"\u0000" in self.detail:
            raise _wrong(command, "points.detail", "detail", f"must be JSON without NUL, at most {MAX_DETAIL} bytes")
        self.fingerprint = hashlib.sha256(body).hexdigest()


def _as_dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _in_utc(command: Command) -> Command:
    """The same command for the same instants, whatever zone they were told in."""
    if command.happened_at.tzinfo is UTC and all(
        give.expires_at is None or give.expires_at.tzinfo is UTC for give in command.gives
    ):
        return command
    gives = tuple(
        replace(give, expires_at=give.expires_at and give.expires_at.astimezone(UTC)) for give in command.gives
    )
    return replace(command, happened_at=command.happened_at.astimezone(UTC), gives=gives)


def _check(command: Command) -> None:
    lines = len(command.takes) + len(command.gives) + len(command.moves)
    if not (_is_name(command.key, MAX_KEY) and _is_name(command.kind)):
        raise _wrong(command, "points.key", "key or kind", f"must have 1 to {MAX_KEY} printable characters")
    if command.reference and not _is_name(command.reference):
        raise _wrong(command, "points.key", "reference", f"must have at most {MAX_NAME} printable characters")
    if not 0 < lines <= MAX_COMMAND_LINES:
        raise LimitError(
            f"{command.key}: a command has 1 to {MAX_COMMAND_LINES} lines, not {lines}; split it",
            code="points.limit",
            key=command.key,
            field="lines",
        )
    if command.happened_at.tzinfo is None:
        raise _wrong(command, "points.key", "happened_at", "must have a time zone")
    sums: dict[int, int] = {}
    for take in command.takes:
        _check_amount(command, "take.amount", take.amount)
        _check_holder(command, take)
        sums[take.asset_id] = sums.get(take.asset_id, 0) - take.amount
    for give in command.gives:
        _check_give(command, give)
        sums[give.asset_id] = sums.get(give.asset_id, 0) + give.amount
    for move in command.moves:
        _check_amount(command, "move.amount", abs(move.amount) if type(move.amount) is int else move.amount)
        if move.kind in _BOUNDED:
            raise _wrong(command, "points.account", "move.kind", f"must not be {move.kind}; use a take or a give")
        if move.holder and not _is_name(move.holder):
            raise _wrong(command, "points.account", "move.holder", f"must have at most {MAX_NAME} characters")
        sums[move.asset_id] = sums.get(move.asset_id, 0) + move.amount
    for asset_id, amount in sums.items():
        if amount:
            raise _wrong(
                command,
                "points.unbalanced",
                f"asset {asset_id}",
                f"is off by {amount}: gives - takes + moves must be 0",
            )


def _check_give(command: Command, give: Give) -> None:
    _check_amount(command, "give.amount", give.amount)
    _check_holder(command, give)
    if not _is_name(give.issuer):
        raise _wrong(command, "points.account", "give.issuer", f"must have 1 to {MAX_NAME} printable characters")
    if type(give.cost_micro) is not int or not 0 <= give.cost_micro <= MAX_POINTS:
        raise _wrong(command, "points.amount", "give.cost_micro", f"must be a whole number of 0 to {MAX_POINTS}")
    if give.expires_at is None:
        return
    if give.expires_at.tzinfo is None or give.expires_at <= command.happened_at:
        raise _wrong(command, "points.expiry", "give.expires_at", "must have a time zone and be after happened_at")


def _check_amount(command: Command, field: str, amount: int) -> None:
    if type(amount) is not int or not 0 < amount <= MAX_POINTS:
        raise _wrong(command, "points.amount", field, f"must be a whole number of 1 to {MAX_POINTS}, not {amount}")


def _check_holder(command: Command, line: Take | Give) -> None:
    if not _is_name(line.holder):
        raise _wrong(command, "points.account", "holder", f"must have 1 to {MAX_NAME} printable characters")


def _is_name(value: str, limit: int = MAX_NAME) -> bool:
    return 0 < len(value) <= limit and value.isprintable()


def _wrong(command: Command, code: str, field: str, problem: str) -> RejectedError:
    key = command.key[:MAX_KEY]
    return RejectedError(f"{key!r}: {field} {problem}", code=code, key=key, field=field)


def conflict(command: Command) -> ConflictError:
    """The key stands for another command."""
    return ConflictError(
        f"the key {command.key!r} was used for another command; take a new key",
        code="points.key_conflict",
        key=command.key,
    )


def unknown(command: Command) -> NotFoundError:
    """An asset, or a transfer that the command refers to, is not the owner's."""
    return NotFoundError(
        f"{command.key}: an asset or a transfer that it names is not known to this owner; look it up again",
        code="points.unknown",
        key=command.key,
    )


def insufficient(command: Command, take: Take, available: int) -> RejectedError:
    """The wallet has less than the take wants."""
    return RejectedError(
        f"{command.key}: {take.amount} points are wanted and {available} are available; take at most those",
        code="points.insufficient",
        key=command.key,
        asset_id=take.asset_id,
        available=available,
        wanted=take.amount,
    )


def too_many_lots(command: Command) -> LimitError:
    """One transfer has room for so many postings only."""
    return LimitError(
        f"{command.key}: it would empty more lots than one transfer can; split the amount",
        code="points.limit",
        key=command.key,
    )


def column(values: Sequence[Any]) -> str:
    """A PostgreSQL array, as text: what JSON and it write differently (lists, control characters) is not in them."""
    return "{" + orjson.dumps(values)[1:-1].decode() + "}"
