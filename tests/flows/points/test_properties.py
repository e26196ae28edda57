"""Whatever is sold and comes back, in any split and order, a member has what the units that were kept have earned."""

from random import Random
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.points.requests import start_claw_back, start_earn
from tests.flows.points.world import LEAVES, NOON, Club, back, sale

LATER = "2026-03-03T12:00:00+08:00"


class Line(NamedTuple):
    """``amount`` fen for ``quantity`` units, of which so many come back each time."""

    amount: int
    quantity: int
    returns: tuple[int, ...]

    @property
    def points(self) -> int:
        return (self.amount + 50) // 100

    @property
    def kept(self) -> int:
        return self.points - -(-self.points * sum(self.returns) // self.quantity)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    quantity = draw(st.integers(1, 7))
    left, returns = quantity, []
    for _ in range(draw(st.integers(0, 3))):
        returns.append(draw(st.integers(0, left)))
        left -= returns[-1]
    return Line(draw(st.integers(0, 50_000)), quantity, tuple(returns))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orders=st.lists(st.lists(lines(), min_size=1, max_size=3), min_size=1, max_size=3),
    dice=st.randoms(use_true_random=False),
    twice=st.booleans(),
)
def test_what_is_left_is_what_the_kept_units_earned(
    club: Club, orders: list[list[Line]], dice: Random, twice: bool
) -> None:
    holder = club.member()
    started = []
    asked = []
    for order in orders:
        number = club.number()
        body = {"programme": LEAVES, "order_no": number}
        sold = [
            row | {"quantity": line.quantity}
            for row, line in zip(sale(*(line.amount for line in order)), order, strict=True)
        ]
        started.append(club.start(start_earn, **body, holder=holder, happened_at=NOON, lines=sold))
        for nth in range(3):
            units = {
                f"l{n}": line.returns[nth]
                for n, line in enumerate(order, 1)
                if nth < len(line.returns) and line.returns[nth]
            }
            if units:
                asked.append({**body, "return_no": f"R{nth}", "happened_at": LATER, "lines": back(**units)})
    dice.shuffle(asked)
    started += [club.start(start_claw_back, **each) for each in asked * (2 if twice else 1)]
    for run_id in started:
        assert club.ended(run_id)["state"] == "done"
    balance = club.balance(holder, LEAVES)
    assert (balance.posted, balance.arrears) == (sum(line.kept for order in orders for line in order), 0)
