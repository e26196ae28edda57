"""The hub's keys in other systems' short reference fields."""

import re

from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.references import plain_reference

LENGTH = 40
PLAIN = re.compile(r"[A-Za-z0-9:._#~-]{1,40}")


def test_a_plain_key_stays_as_it_is() -> None:
    assert plain_reference("points.exchange:X-7:credit#2", LENGTH) == "points.exchange:X-7:credit#2"


def test_a_long_key_keeps_its_beginning_and_ends_in_a_digest() -> None:
    key = "points.exchange:" + "9" * 60
    assert plain_reference(key, LENGTH)[:24] == key[:23] + "~"
    assert plain_reference(key, LENGTH) != plain_reference(key + "9", LENGTH)


@given(st.text(), st.text())
def test_every_key_fits_and_two_keys_are_never_one_reference(one: str, other: str) -> None:
    references = [plain_reference(key, LENGTH) for key in (one, other)]
    assert all(PLAIN.fullmatch(reference) for reference in references)
    assert (references[0] == references[1]) == (one == other)


@given(st.text())
def test_no_key_looks_like_the_reference_of_another(key: str) -> None:
    reference = plain_reference(key, LENGTH)
    assert key == reference or plain_reference(reference, LENGTH) != reference
