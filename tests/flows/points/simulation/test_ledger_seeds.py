"""Seeded worlds on the real ledger: after every commit the books are those of a model that anybody can read."""

import pytest

from flows.runtime.database import Database
from tests.flows.points.simulation.play import play, play_at_once

EVENTS = 30
AT_LENGTH = 100
BEFORE, EACH = 10, 5
MANY_SEEDS = range(1_000, 2_000)


def test_the_books_of_a_seeded_world_are_those_of_the_model(databases: tuple[Database, Database], seed: int) -> None:
    play(databases, seed, EVENTS)


def test_who_writes_at_once_leaves_the_books_of_an_order_one_after_another(
    databases: tuple[Database, Database], seed: int
) -> None:
    play_at_once(databases, seed, BEFORE, EACH)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_books_of_many_seeded_worlds_are_those_of_the_model(databases: tuple[Database, Database]) -> None:
    for seed in MANY_SEEDS:
        play(databases, seed, AT_LENGTH)
        play_at_once(databases, seed, BEFORE, EACH)
