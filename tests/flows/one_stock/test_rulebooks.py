"""A brand decides by its newest rulebook, from the next decision on, in every process."""

from collections.abc import Iterator

import pytest

from canonical_model.errors import NotFoundError, RecordError
from flows.one_stock.routing.rulebook import DEFAULT, Rulebook
from flows.one_stock.rulebooks import get_rulebook, publish_rulebook, rulebook_of
from flows.runtime.database import Database

TEXT = "parcel_cost = 5.0\nper_km = 0.01\nmax_parcels = 2\n"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url, pool_size=2) as opened:
        yield opened


def publish(database: Database, text: str, brand: str = "yunshang") -> Rulebook:
    with database.unit() as uow:
        book = publish_rulebook(uow, "yunshang", brand, text, "spring sale", "li")
        uow.commit()
        return book


def in_force(database: Database, brand: str = "yunshang") -> Rulebook:
    with database.unit() as uow:
        return rulebook_of(uow.connection, "yunshang", brand)


def test_a_brand_that_published_nothing_has_the_default(database: Database) -> None:
    assert in_force(database) is DEFAULT


def test_what_is_published_is_in_force_at_once_for_that_brand_alone(database: Database) -> None:
    assert publish(database, TEXT).version == 1
    assert (in_force(database).version, in_force(database).rules().max_parcels) == (1, 2)
    assert in_force(database) is in_force(database), "parsed once"
    assert publish(database, TEXT.replace("2", "3")).version == 2
    assert in_force(database).rules().max_parcels == 3
    assert in_force(database, "yunshu") is DEFAULT


def test_an_earlier_version_can_be_read_again(database: Database) -> None:
    publish(database, TEXT)
    publish(database, TEXT + "# said again\n")
    with database.unit() as uow:
        assert get_rulebook(uow.connection, "yunshang", "yunshang", 1).text == TEXT
        with pytest.raises(NotFoundError, match="yipan rules history"):
            get_rulebook(uow.connection, "yunshang", "yunshang", 3)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("parcel_cost = ", [""]),
        ("parcel_cost = -1\nper_km = 'far'\nmax_parcels = 0\n", ["parcel_cost", "per_km", "max_parcels"]),
        (TEXT + "[channels.live]\ninherits = 'flash'\n", ["channels.live.inherits"]),
    ],
)
def test_a_text_that_is_wrong_is_refused_with_everything_wrong_in_it(
    database: Database, text: str, fields: list[str]
) -> None:
    with pytest.raises(RecordError) as refused:
        publish(database, text)
    assert [issue.field for issue in refused.value.issues] == fields
    assert in_force(database) is DEFAULT


def test_a_note_too_long_is_refused(database: Database) -> None:
    with database.unit() as uow, pytest.raises(RecordError, match="at most 1000 characters"):
        publish_rulebook(uow, "yunshang", "yunshang", TEXT, "n" * 1_001, "li")
