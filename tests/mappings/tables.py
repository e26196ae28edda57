"""A context and small tables for the tests of mappings."""

from datetime import UTC, datetime
from typing import Any

from mappings.engine import MapContext, Mapping, Quarantined, parse_mapping

CONTEXT = MapContext(
    owner="yunshang",
    brand="yunshang",
    system="shop",
    zone="Asia/Shanghai",
    message_id="m-1",
    received_at=datetime(2026, 11, 3, 1, 30, tzinfo=UTC),
)


def outward(fields: str, **converters: Any) -> Mapping:
    """A mapping out of the hub with these fields: nothing is added to them."""
    return parse_mapping(f'version = "1"\ndirection = "out"\nentity = "order"\n{fields}', converters=converters)


def inward(fields: str) -> Mapping:
    """A mapping into the hub whose records are identified by ``No``."""
    head = 'version = "1"\ndirection = "in"\nentity = "order"\n[source]\nid = "No"\n'
    return parse_mapping(head + fields)


def issues(mapping: Mapping, record: Any) -> list[tuple[str, str]]:
    """Field and code of each issue of the record."""
    (result,) = mapping.map_many([record], CONTEXT)
    return [(issue.field, issue.code) for issue in result.issues] if isinstance(result, Quarantined) else []
