"""Whatever is done to the books in whatever order, they are those of a model that anybody can read."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from flows.runtime.database import Database
from tests.canonical_model.store.hold_machine import HoldMachine


def _run(database: Database, examples: int, steps: int) -> None:
    class OnThisDatabase(HoldMachine):
        on = database

    run_state_machine_as_test(OnThisDatabase, settings=settings(max_examples=examples, stateful_step_count=steps))


def test_the_books_are_those_of_the_model(shared_on_postgres_18: Database) -> None:
    _run(shared_on_postgres_18, 25, 25)


@pytest.mark.soak
def test_the_books_are_those_of_the_model_at_length(shared_on_postgres_18: Database) -> None:
    _run(shared_on_postgres_18, 120, 50)
