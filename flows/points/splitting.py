"""Whole points divided without one lost or made."""

from collections.abc import Sequence
from fractions import Fraction

from canonical_model.errors import RejectedError


def split(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Shares of ``total`` by ``weights``: each its floor, then one more each from the top until all is given.

    99 over five equal weights is 20, 20, 20, 20, 19. What weighs nothing gets nothing.
    RejectedError: a negative or fractional number, or nothing that weighs anything.
    """
    whole = _whole(total, weights)
    shares = [total * weight // whole for weight in weights]
    left = total - sum(shares)
    for index, weight in enumerate(weights):
        if left and weight:
            shares[index] += 1
            left -= 1
    return tuple(shares)


def apportion(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Shares of ``total`` by ``weights`` that only grow with it: a larger total takes from no one (Webster's method).

    ``sum(weights)`` gives every one its weight. RejectedError: as ``split``.
    """
    whole = _whole(total, weights)
    shares = [(2 * total * weight + whole) // (2 * whole) for weight in weights]
    heavy = [index for index, weight in enumerate(weights) if weight]
    while (left := total - sum(shares)) > 0:
        shares[min(heavy, key=lambda i: (Fraction(2 * shares[i] + 1, weights[i]), i))] += 1
    while left < 0:
        shares[max((i for i in heavy if shares[i]), key=lambda i: (Fraction(2 * shares[i] - 1, weights[i]), i))] -= 1
        left += 1
    return tuple(shares)


def _whole(total: int, weights: Sequence[int]) -> int:
    if not isinstance(total, int) or total < 0 or any(weight < 0 for weight in weights):
        raise RejectedError("points and weights are whole and never negative; correct them", code="points.number")
    whole = sum(weights)
    if not whole:
        raise RejectedError("nothing weighs anything; name at least one positive weight", code="points.no_weight")
    return whole
