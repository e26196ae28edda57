"""A bundle becomes lines of its components when its order comes in."""

from typing import Any

from tests.flows.desk import Desk, codes, order, product, statuses

SET = {
    "kind": "bundle",
    "components": [{"sku": "CUP", "quantity": 4}, {"sku": "POT", "quantity": 1}, {"sku": "TRAY", "quantity": 1}],
}


def lines_of(desk: Desk) -> list[tuple[Any, ...]]:
    return [
        tuple(row.values())
        for row in desk.rows(
            "SELECT line_no, sku_code, quantity, amount_minor, bundle_line_no, per_bundle, ship_group"
            " FROM sales_order_line ORDER BY line_no"
        )
    ]


def two_sets_and_a_shirt(**fields: Any) -> dict[str, Any]:
    lines = [
        {"line_no": 3, "sku": "TEE", "quantity": 1, "amount_minor": 500},
        {"line_no": 2, "sku": "SET", "quantity": 2, "amount_minor": 20_003, **fields},
    ]
    return {**order("A1"), "lines": lines, "goods_minor": 20_503, "total_minor": 20_503}


def test_a_bundle_becomes_its_components_and_the_amount_is_split_exactly(stocked: Desk) -> None:
    stocked.push("products", product("CUP"), product("POT"), product("TRAY"), product("SET", **SET))
    assert statuses(stocked.push("orders", two_sets_and_a_shirt())) == ["accepted"]
    assert lines_of(stocked) == [
        (3, "TEE", 1, 500, None, 1, None),
        (4, "CUP", 8, 13_336, 2, 4, None),
        (5, "POT", 2, 3_334, 2, 1, None),
        (6, "TRAY", 2, 3_333, 2, 1, None),
    ]
    assert stocked.one("SELECT jsonb_array_length(body -> 'lines') FROM sales_order") == 2


def test_a_group_that_ships_together_keeps_its_bundle(stocked: Desk) -> None:
    stocked.push("products", product("CUP"), product("POT"), product("TRAY"), product("SET", **SET))
    stocked.push("orders", two_sets_and_a_shirt(ship_group="tea"))
    assert [line[-1] for line in lines_of(stocked)] == [None, "tea", "tea", "tea"]


def test_components_are_numbered_on_after_the_largest_line_in_six_digits_at_most(stocked: Desk) -> None:
    stocked.push("products", product("CUP"), product("POT"), product("TRAY"), product("SET", **SET))
    bundles = [{"line_no": n, "sku": "SET", "quantity": 1, "amount_minor": 3} for n in (10_000, 7)]
    stocked.push("orders", {**order("A1"), "lines": bundles, "goods_minor": 6, "total_minor": 6})
    assert [(line[0], line[4]) for line in lines_of(stocked)] == [
        (10_001, 7), (10_002, 7), (10_003, 7), (10_004, 10_000), (10_005, 10_000), (10_006, 10_000),
    ]  # fmt: skip


def test_an_order_of_bundles_that_comes_again_is_the_same(stocked: Desk) -> None:
    stocked.push("products", product("CUP"), product("POT"), product("TRAY"), product("SET", **SET))
    stocked.push("orders", two_sets_and_a_shirt())
    before = lines_of(stocked)
    again = stocked.push("orders", two_sets_and_a_shirt(), order("A2", "TEE"))
    assert statuses(again) == ["duplicate", "accepted"]
    assert [line for line in lines_of(stocked) if line in before] == before
    assert len(lines_of(stocked)) == len(before) + 1


def test_an_order_waits_for_a_component_that_nobody_has_sent(stocked: Desk) -> None:
    stocked.push("products", product("CUP"), product("POT"), product("SET", **SET))
    (refused,) = stocked.push("orders", two_sets_and_a_shirt())
    assert codes(refused) == ["sku.unknown"]
    assert stocked.one("SELECT missing_id FROM quarantine") == "TRAY"
    stocked.push("products", product("TRAY"))
    assert len(lines_of(stocked)) == 4


def test_an_order_names_its_member(stocked: Desk) -> None:
    stocked.push("orders", order("A1", "TEE", member="VIP-7"))
    assert stocked.one("SELECT member_code FROM sales_order") == "VIP-7"
