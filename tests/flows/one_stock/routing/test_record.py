"""A record holds all that led to a decision, whatever that was, and little else."""

import zlib
from dataclasses import fields, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import RecordError
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.listed import Listed
from flows.one_stock.routing.problem import Item, Part, Place, Problem
from flows.one_stock.routing.record import Names, explain, pack, packed_facts, unpack
from flows.one_stock.routing.rulebook import DEFAULT, Rulebook, Rules

SKUS = (1, 2, 3)

figures = st.floats(0, 1000, allow_nan=False).map(lambda km: round(km, 3))
stocks = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 300), max_size=3)
places = st.builds(
    Place,
    id=st.integers(1, 10**12),
    stock=stocks,
    code=st.text(max_size=5),
    km=st.none() | figures,
    kind=st.sampled_from(["store", "warehouse"]),
    brand=st.sampled_from(["", "b"]),
    rating=st.none() | st.floats(0, 5),
    acceptance=st.none() | st.floats(0, 1),
    capacity_left=st.none() | st.integers(0, 3),
    weekly=st.dictionaries(st.sampled_from(SKUS), st.floats(0.1, 10), max_size=3),
    days=st.none() | st.floats(0, 9),
    is_members=st.booleans(),
    serves=st.booleans(),
    open=st.booleans(),
    refused=st.none() | st.sampled_from(["refused", "late"]),
)
items = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 9), st.integers(0, 10_000)), min_size=1, max_size=3)
rules = st.sampled_from(
    [
        DEFAULT.rules(),
        Rulebook(
            'parcel_cost = 1\nper_km = 0.1\nmax_parcels = 2\n[[tiers]]\nby = "parcels"\n[[tiers]]\nby = "cost"'
        ).rules(),
        Rulebook(
            'parcel_cost = 1\nper_km = 0\nmax_parcels = 3\n[filters]\nhours = true\n[[tiers]]\nby = "velocity"'
        ).rules(),
    ]
)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    known = {place.id: place for place in draw(st.lists(places, max_size=6))}
    wanted = tuple(Item((Part(n, sku),), units, value) for n, (sku, units, value) in enumerate(draw(items), 1))
    return Problem(wanted, tuple(known[key] for key in sorted(known)), "shop", "b", draw(st.none() | st.just(2.0)))


def trimmed(problem: Problem) -> Problem:
    """The problem with only the goods that it is about."""
    wanted = {part.sku_id for item in problem.items for part in item.parts}
    return replace(
        problem,
        places=tuple(
            replace(
                place,
                stock={sku: units for sku, units in place.stock.items() if sku in wanted},
                weekly={sku: sold for sku, sold in place.weekly.items() if sku in wanted},
            )
            for place in problem.places
        ),
    )


@given(problems(), rules)
def test_what_was_decided_can_be_decided_again_from_the_record(problem: Problem, by: Rules) -> None:
    decision = decide(problem, by)
    record = unpack(pack(problem, by, 7, "shop", decision))
    assert record.problem == trimmed(problem)
    assert (record.rules, record.rules_version, record.channel) == (by, 7, "shop")
    assert record.decision == decision
    assert decide(record.problem, record.rules) == decision


@given(problems(), rules)
def test_places_that_know_their_columns_are_packed_the_same(problem: Problem, by: Rules) -> None:
    names = [each.name for each in fields(Place) if each.name not in ("stock", "weekly")]
    columns = {name: [getattr(place, name) for place in problem.places] for name in names}
    stock = {sku: [place.stock.get(sku, 0) for place in problem.places] for sku in SKUS}
    weekly = [place.weekly for place in problem.places] if any(place.weekly for place in problem.places) else None
    held = [place.stock for place in problem.places]
    listed = Listed(columns, held, stock, weekly=weekly, facts=packed_facts(problem.places))
    assert listed == problem.places
    decision = decide(problem, by)
    assert decide(replace(problem, places=listed), by) == decision
    assert decide(replace(problem, places=listed), by, considered=False) == replace(decision, considered=())
    assert pack(replace(problem, places=listed), by, 7, "shop", decision) == pack(problem, by, 7, "shop", decision)


@given(problems(), rules)
def test_an_explanation_names_every_place_for_every_line(problem: Problem, by: Rules) -> None:
    record = unpack(pack(problem, by, 7, "shop", decide(problem, by)))
    told = explain(record, Names({}, {}))
    assert [line["line_no"] for line in told["lines"]] == [item.parts[0].line_no for item in problem.items]
    for line in told["lines"]:
        assert [place["place"] for place in line["places"]] == [str(place.id) for place in problem.places]
        assert all(place["removed_by"] or place["scores"].keys() == set(told["tiers"]) for place in line["places"])
        if told["action"] in ("allocate", "partial"):
            assert sum(place["chosen"] for place in line["places"]) + line["unfilled"] == line["quantity"]


def test_a_usual_record_is_small() -> None:
    wide = tuple(
        Place(1000 + n, dict.fromkeys(SKUS, n % 7), f"ST{n:03}", round(n * 7.313, 3), rating=4.5, acceptance=0.9)
        for n in range(200)
    )
    problem = Problem(tuple(Item((Part(n, sku),), 1) for n, sku in enumerate(SKUS, 1)), wide)
    assert len(pack(problem, DEFAULT.rules(), 1, "shop", decide(problem, DEFAULT.rules()))) < 3_000


@pytest.mark.parametrize("packed", [b"", b"no", zlib.compress(b"{}"), zlib.compress(orjson.dumps({"format": 3}))])
def test_what_is_no_record_is_refused(packed: bytes) -> None:
    with pytest.raises(RecordError, match="no record of a decision"):
        unpack(packed)


@given(problems(), rules)
def test_a_record_that_lists_the_places_without_the_goods_still_reads(problem: Problem, by: Rules) -> None:
    decision = decide(problem, by)
    document = orjson.loads(zlib.decompress(pack(problem, by, 7, "shop", decision)))
    document["format"] = 1
    for n, place in enumerate(decision.considered):
        if place.removed_by == "no_stock":
            document["removed"].setdefault("no_stock", []).append(n)
    assert unpack(zlib.compress(orjson.dumps(document))).decision == decision


def test_a_record_from_before_the_rules_knew_of_days_still_reads() -> None:
    problem = Problem((Item((Part(1, 1),), 1),), (Place(1, {1: 2}, km=3.0),))
    rules = DEFAULT.rules()
    document = orjson.loads(zlib.decompress(pack(problem, rules, 1, "shop", decide(problem, rules))))
    for name in ("handling_days", "km_per_day"):
        del document["rules"][name]
    record = unpack(zlib.compress(orjson.dumps(document)))
    assert (record.rules, record.problem.promised_days) == (rules, None)
    assert record.decision == decide(problem, rules)
