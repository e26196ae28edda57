"""Any sequence of writes to a points provider, each carried to its end through faults, beside what it must come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from canonical_model.errors import RejectedError, TransientError, UncertainError
from canonical_model.ports import Idempotency, Receipt
from flows.testing.live import LiveSystem

MAX_TRIES: Final = 100
OPENING: Final = 100
MONTHLY_LIMIT: Final = 150


@dataclass(frozen=True)
class Wish:
    """A movement that somebody wants; ``account`` is the first or the second."""

    writer: str
    account: int
    points: int


@dataclass(frozen=True)
class Play:
    """Wishes, the order in which they come (some more than once), and the fault rates meanwhile."""

    wishes: list[Wish]
    order: list[int]
    rates: Mapping[str, float]


@st.composite
def plays(draw: st.DrawFn, faults: tuple[str, ...]) -> Play:
    """Up to four wishes that come up to six times, under faults of any of the kinds."""
    wish = st.builds(Wish, st.sampled_from(["credit", "debit"]), st.sampled_from([0, 1]), st.integers(1, 120))
    wishes = draw(st.lists(wish, min_size=1, max_size=4))
    order = draw(st.lists(st.integers(0, len(wishes) - 1), min_size=1, max_size=6))
    return Play(wishes, order, {kind: draw(st.sampled_from([0.0, 0.2, 0.4])) for kind in faults})


@dataclass
class Expected:
    """What the provider must have booked; it judges a refused wish again when it comes again."""

    balances: list[int] = field(default_factory=lambda: [OPENING, OPENING])
    booked: list[int] = field(default_factory=list)
    _moved: dict[tuple[str, int], int] = field(default_factory=dict)

    def take(self, number: int, wish: Wish) -> bool:
        """Whether the wish is, or was, granted."""
        if number in self.booked:
            return True
        moved = self._moved.get((wish.writer, wish.account), 0) + wish.points
        balance = self.balances[wish.account] + (wish.points if wish.writer == "credit" else -wish.points)
        if balance < 0 or moved > MONTHLY_LIMIT:
            return False
        self.balances[wish.account], self._moved[wish.writer, wish.account] = balance, moved
        self.booked.append(number)
        return True


def until_settled(live: LiveSystem, writer: str, key: str, document: Mapping[str, Any]) -> Receipt | None:
    """Carry one write to its end as the runtime does: its receipt, or None when it is refused."""
    spec = live.connector.manifest.writer(writer)
    assert spec is not None
    doubtful = True  # it may have come before
    for _ in range(MAX_TRIES):
        try:
            if doubtful and spec.idempotency is Idempotency.READ_BACK:
                found = live.connector.writers[writer].find(key)
                if found is not None:
                    return found
            doubtful = False
            return live.write(writer, key, document)
        except UncertainError:
            doubtful = True
        except TransientError:
            continue
        except RejectedError:
            return None
    raise AssertionError(f"{key} did not come to an end in {MAX_TRIES} tries")
