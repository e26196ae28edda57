"""Seeded worlds on the real ledger: after every commit the books are those of a model that anybody can read."""

from flows.runtime.database import Database
from tests.flows.points.simulation.play import play

EVENTS = 40


def test_the_books_of_a_seeded_world_are_those_of_the_model(databases: tuple[Database, Database], seed: int) -> None:
    play(databases, seed, EVENTS)
