from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import (
    ConfigurationError,
    NotFoundError,
    RejectedError,
    TransientError,
    UncertainError,
)
from canonical_model.ports import Connector
from connectors.kit.registry import connect
from connectors.sap.writers import PURCHASE_ORDER_LENGTH, purchase_order_number

from .conftest import Sap

Order = Callable[..., dict[str, Any]]
KEY = "one_stock.ship_parcel:P-0001-1:write_sap"


def test_a_sales_order_reaches_sap_with_its_lines_amounts_and_partners(
    sap: Sap, connector: Connector, order: Order
) -> None:
    receipt = connector.writers["sales_order"].write(KEY, order())
    (header,) = sap.orders()
    assert receipt.outside_id == header["SalesOrder"] == "0000004969"
    assert header["PurchaseOrderByCustomer"] == "P-0001-1"
    assert header["PurchaseOrderByShipToParty"] == "TM-778812"
    assert (header["SoldToParty"], header["SalesOrganization"]) == ("C10010", "1010")
    assert (header["TotalNetAmount"], header["TransactionCurrency"]) == ("178.90", "CNY")
    assert header["CustomerPurchaseOrderDate"] == "/Date(1793669405000)/"
    items = sap.items(receipt.outside_id)
    assert [(item["Material"], item["RequestedQuantity"], item["NetAmount"]) for item in items] == [
        ("10000123", "1", "159.00"),
        ("X-RAY 80003-A", "2", "19.90"),
    ]
    assert {(item["ProductionPlant"], item["StorageLocation"]) for item in items} == {("1010", "0001")}


def test_sap_posts_the_same_purchase_order_twice_so_we_must_look(sap: Sap, connector: Connector, order: Order) -> None:
    writer = connector.writers["sales_order"]
    first, second = writer.write(KEY, order()), writer.write(KEY, order())
    assert first.outside_id != second.outside_id
    found = writer.find(KEY)
    assert found is not None
    assert found.outside_id == first.outside_id
    assert found.detail["duplicates"] == [second.outside_id]
    assert len(sap.orders()) == 2


def test_a_lost_answer_is_found_and_leaves_one_order(sap: Sap, connector: Connector, order: Order) -> None:
    writer = connector.writers["sales_order"]
    writer.write("one_stock.ship_parcel:P-0000-1:write_sap", order())
    assert writer.find(KEY) is None
    sap.faults(drop_answer=1.0)
    with pytest.raises(UncertainError):
        writer.write(KEY, order())
    sap.faults(drop_answer=0.0)
    found = writer.find(KEY)
    assert found is not None
    assert [row["SalesOrder"] for row in sap.orders()] == ["0000004969", found.outside_id]


def test_an_idoc_that_is_taken_but_not_posted_is_a_question(sap: Sap, connector: Connector, order: Order) -> None:
    sap.rules(deferred=True)
    with pytest.raises(UncertainError, match="named no sales order"):
        connector.writers["sales_order"].write(KEY, order())


def test_an_ended_session_gets_a_new_token_and_one_order(sap: Sap, connector: Connector, order: Order) -> None:
    writer = connector.writers["sales_order"]
    writer.write(KEY, order())
    sap.control("DELETE", "/_sessions")
    writer.write("one_stock.ship_parcel:P-0001-2:write_sap", order())
    assert len(sap.orders()) == 2


@pytest.mark.parametrize("odata_errors", [False, True])
class TestRefusals:
    """The same no, as BAPIRET2 in a 200 and as an OData error."""

    def test_a_blocked_customer_is_a_credit_block(
        self, sap: Sap, connector: Connector, order: Order, odata_errors: bool
    ) -> None:
        sap.rules(credit_blocked=["C10010"], odata_errors=odata_errors)
        with pytest.raises(RejectedError, match="V1/154") as refused:
            connector.writers["sales_order"].write(KEY, order())
        assert refused.value.code == "sap.credit_block"
        assert sap.orders() == []

    def test_an_order_over_the_limit_is_a_credit_block(
        self, sap: Sap, connector: Connector, order: Order, odata_errors: bool
    ) -> None:
        sap.rules(credit_limit="178.89", odata_errors=odata_errors)
        with pytest.raises(RejectedError) as refused:
            connector.writers["sales_order"].write(KEY, order())
        assert refused.value.code == "sap.credit_block"
        sap.rules(credit_limit="178.90")
        connector.writers["sales_order"].write(KEY, order())

    def test_a_locked_object_is_worth_another_try(
        self, sap: Sap, connector: Connector, order: Order, odata_errors: bool
    ) -> None:
        sap.rules(locked=["C10010"], odata_errors=odata_errors)
        with pytest.raises(TransientError) as refused:
            connector.writers["sales_order"].write(KEY, order())
        assert refused.value.code == "sap.locked"
        sap.rules(locked=[])
        connector.writers["sales_order"].write(KEY, order())
        assert len(sap.orders()) == 1

    def test_an_unknown_material_is_named(
        self, sap: Sap, connector: Connector, order: Order, odata_errors: bool
    ) -> None:
        sap.rules(odata_errors=odata_errors)
        sap.control("POST", "/_catalogue", {"materials": [{"number": "10000123", "name": "T恤", "unit": "ST"}]})
        with pytest.raises(RejectedError, match="X-RAY 80003-A does not exist") as refused:
            connector.writers["sales_order"].write(KEY, order())
        assert refused.value.code == "sap.m3.305"


class TestCancel:
    def test_every_item_is_rejected_and_again_changes_nothing(
        self, sap: Sap, connector: Connector, order: Order
    ) -> None:
        number = connector.writers["sales_order"].write(KEY, order()).outside_id
        body = {"SalesOrder": number, "SalesDocumentRjcnReason": "10"}
        cancel = connector.writers["sales_order_cancel"]
        assert cancel.write(f"{KEY}:undo", body) == cancel.write(f"{KEY}:undo", body)
        assert [item["SalesDocumentRjcnReason"] for item in sap.items(number)] == ["10", "10"]
        assert sap.orders()[0]["OverallSDDocumentRejectionSts"] == "C"

    def test_a_lost_answer_in_the_middle_is_finished_by_the_next_try(
        self, sap: Sap, connector: Connector, order: Order
    ) -> None:
        number = connector.writers["sales_order"].write(KEY, order()).outside_id
        body = {"SalesOrder": number, "SalesDocumentRjcnReason": "10"}
        cancel = connector.writers["sales_order_cancel"]
        sap.faults(error500=0.4)
        for _ in range(50):
            try:
                cancel.write(f"{KEY}:undo", body)
                break
            except (TransientError, UncertainError):
                continue
        sap.faults(error500=0)
        assert sap.orders()[0]["OverallSDDocumentRejectionSts"] == "C"

    def test_an_order_that_left_the_house_is_refused(self, sap: Sap, connector: Connector, order: Order) -> None:
        number = connector.writers["sales_order"].write(KEY, order()).outside_id
        sap.rules(delivered=[number])
        with pytest.raises(RejectedError, match="already delivered"):
            connector.writers["sales_order_cancel"].write(
                f"{KEY}:undo", {"SalesOrder": number, "SalesDocumentRjcnReason": "10"}
            )

    def test_an_unknown_order_is_not_found(self, connector: Connector) -> None:
        with pytest.raises(NotFoundError, match="0000009999"):
            connector.writers["sales_order_cancel"].write(
                f"{KEY}:undo", {"SalesOrder": "0000009999", "SalesDocumentRjcnReason": "10"}
            )


def test_a_wrong_password_is_a_matter_of_configuration(sap: Sap, order: Order) -> None:
    config = sap.config(user="NOBODY")
    with pytest.raises(ConfigurationError, match="401"):
        connect(config).writers["sales_order"].write(KEY, order())


def test_a_wrong_sales_area_is_named(sap: Sap) -> None:
    with pytest.raises(ConfigurationError, match="settings.sales_area"):
        connect(sap.config(sales_area="1010"))


class TestPurchaseOrderNumber:
    def test_it_is_the_business_key(self) -> None:
        assert purchase_order_number(KEY) == "P-0001-1"
        assert purchase_order_number("flow:shop:7:1:write_sap") == "shop:7:1"

    def test_a_repeated_step_is_another_order(self) -> None:
        assert purchase_order_number(f"{KEY}#2") == "P-0001-1#2"

    @given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
    def test_it_fits_and_tells_keys_apart(self, one: str, other: str) -> None:
        numbers = [purchase_order_number(f"flow:{key.replace('#', '')}:step") for key in (one, other)]
        assert all(0 < len(number) <= PURCHASE_ORDER_LENGTH for number in numbers)
        assert (numbers[0] == numbers[1]) == (one.replace("#", "") == other.replace("#", "")) or ":" in one + other
