"""A rulebook is read whole or refused with everything that is wrong in it; channels inherit what they do not say."""

import pytest

from canonical_model.errors import RecordError
from flows.one_stock.routing.rulebook import DEFAULT, Rulebook, TierName
from flows.rule_document import MAX_BYTES, MAX_LINE

BASE = "parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 4\n"


def refused(text: str) -> list[tuple[str, str]]:
    with pytest.raises(RecordError) as error:
        Rulebook(text)
    return [(issue.field, issue.code) for issue in error.value.issues]


def test_a_channel_says_only_what_differs_and_inherits_the_rest() -> None:
    book = Rulebook(
        BASE
        + """
        [filters]
        kinds = ["store", "warehouse"]
        max_km = 2000
        [[tiers]]
        by = "parcels"
        [[tiers]]
        by = "cost"
        tolerance = 0.05
        [channels.live]
        max_parcels = 2
        filters = { kinds = ["warehouse"] }
        [channels.flash]
        inherits = "live"
        tiers = [{ by = "distance" }]
        """
    )
    flash = book.rules("flash")
    assert (flash.max_parcels, flash.parcel_cost) == (2, 8.0)
    assert (flash.filters.kinds, flash.filters.max_km) == (frozenset({"warehouse"}), 2000.0)
    assert [tier.by for tier in flash.tiers] == [TierName.DISTANCE]
    assert [tier.by for tier in book.rules("live").tiers] == [TierName.PARCELS, TierName.COST]
    assert book.rules("shop") == book.rules() == book.rules("unheard of")
    assert book.channels == ["flash", "live"]


def test_texts_are_told_apart_by_their_fingerprints() -> None:
    assert Rulebook(BASE).fingerprint == Rulebook(BASE, 7).fingerprint != Rulebook(BASE + "\n").fingerprint
    assert (Rulebook(BASE).version, Rulebook(BASE, 7).version) == (0, 7)
    assert DEFAULT.rules().on_short == "cancel"


def test_everything_wrong_is_said_at_once_where_it_stands() -> None:
    assert refused("parcel_cost = -1\nper_km = 'far'\nmax_parcel = 0\n") == [
        ("parcel_cost", "rules.invalid"),
        ("per_km", "rules.invalid"),
        ("max_parcels", "rules.invalid"),
        ("max_parcel", "rules.invalid"),
    ]
    assert refused(
        BASE + "[channels.a]\nmax_parcels = 0\n[channels.b]\ninherits = 'c'\n[channels.d.budget]\nnodes = 0\n"
    ) == [
        ("channels.a.max_parcels", "rules.invalid"),
        ("channels.b.inherits", "rules.inherits"),
        ("channels.d.budget.nodes", "rules.invalid"),
    ]


def test_no_channel_inherits_from_itself_however_far_around() -> None:
    circle = "[channels.a]\ninherits = 'b'\n[channels.b]\ninherits = 'c'\n[channels.c]\ninherits = 'a'\n"
    assert {field for field, _ in refused(BASE + circle)} == {
        "channels.c.inherits",
        "channels.a.inherits",
        "channels.b.inherits",
    }


@pytest.mark.parametrize(
    "tail",
    [
        "channels = 3",
        "channels = { live = 3 }",
        "[channels.base]\nmax_parcels = 1",
        "".join(f"[channels.c{number}]\n" for number in range(501)),
    ],
)
def test_channels_are_tables_with_names_of_their_own(tail: str) -> None:
    assert refused(BASE + tail) == [("channels", "rules.channels")]


@pytest.mark.parametrize(
    "text",
    [
        "parcel_cost = ",
        "a = " + "[\n" * 30_000,
        "parcel_cost = 1\nparcel_cost = 2",
        "note = 'a\0b'",
        "a." * 480 + "b = 1",
        '"x".' * 240 + "b = 1",
    ],
)
def test_what_is_no_toml_is_refused_as_such(text: str) -> None:
    assert refused(text) == [("", "rules.toml")]


def test_a_text_too_long_is_refused_unread() -> None:
    assert refused("#" * (MAX_BYTES + 1)) == [("", "rules.too_long")]


@pytest.mark.parametrize("line", ["a." * 8_000 + "b = 1", "#" * (MAX_LINE + 1)])
def test_a_line_too_long_is_refused_unread(line: str) -> None:
    with pytest.raises(RecordError) as error:
        Rulebook(f"{BASE}{line}\n")
    assert [(issue.code, issue.detail[:6]) for issue in error.value.issues] == [("rules.too_long", "line 4")]


@pytest.mark.parametrize("name", ["", " live", "l\\u0000ive", "l\\nive", "\\u200b", "x" * 121])
def test_a_channel_has_a_name_that_can_be_read(name: str) -> None:
    assert refused(f'{BASE}[channels."{name}"]\n') == [("channels", "rules.channels")]


@pytest.mark.parametrize(
    "line",
    [
        "max_parcels = true",
        'max_parcels = "4"',
        "max_parcels = 4.0",
        "parcel_cost = true",
        "parcel_cost = " + "9" * 900,
        'parcel_cost = "8"',
        'hold_ttl_s = "900"',
        "hold_ttl_s = true",
        "split_lines = 1",
        'split_lines = "yes"',
        'filters.max_km = "7"',
        "filters.hours = 0",
        "budget.nodes = true",
    ],
)
def test_numbers_and_switches_are_written_as_such(line: str) -> None:
    table = {key: f"{key} = {value}" for key, value in (each.split(" = ") for each in BASE.splitlines())}
    table[line.split(" = ", maxsplit=1)[0]] = line
    assert [code for _, code in refused("\n".join(table.values()))] == ["rules.invalid"]


def test_a_cost_may_be_a_whole_number() -> None:
    assert Rulebook("parcel_cost = 8\nper_km = 0\nmax_parcels = 4\n").rules().parcel_cost == 8.0


def test_a_tier_is_named_once() -> None:
    assert refused(BASE + "tiers = [{ by = 'cost' }, { by = 'parcels' }, { by = 'cost' }]\n") == [("", "rules.invalid")]
