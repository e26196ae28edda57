"""The hub's own words keep the promises of every connector that is only pushed to."""

import pytest

from canonical_model.common import Sourced
from connectors.hub import contract
from flows.testing.conformance import DeclarationConformance


class TestHub(DeclarationConformance):
    connector = "hub"


@pytest.mark.parametrize(("stream", "entity"), contract.ENTITIES.items())
def test_the_contract_is_the_entity_without_what_the_hub_adds(stream: str, entity: type[Sourced]) -> None:
    """When an entity changed: python -m connectors.hub.contract"""
    assert (contract.FOLDER / f"{stream}.json").read_bytes() == contract.render(entity)
