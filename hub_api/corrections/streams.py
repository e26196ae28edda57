"""A stream of the caller's brand: its mapping's place, its personal fields, and records as they may be shown."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from canonical_model.errors import Issue, NotFoundError
from canonical_model.ports import Connector, StreamSpec
from flows.runtime.bootstrap import Hub
from flows.runtime.revisions import Place
from hub_api.auth import Access
from hub_api.masking import hide_undeclared, mask_fields
from mappings import reach
from mappings.engine import Mapping as Table


@dataclass(frozen=True, slots=True)
class Stream:
    """One declared stream of one connected system."""

    connector: Connector
    spec: StreamSpec

    @property
    def place(self) -> Place:
        """Where its mapping lives."""
        return Place.of(self.connector.config, self.spec.mapping)

    @property
    def personal(self) -> tuple[str, ...]:
        """The personal fields of every stream that shares its mapping."""
        sharing = [spec for spec in self.connector.manifest.streams if spec.mapping == self.spec.mapping]
        return tuple(dict.fromkeys(path for spec in sharing for path in spec.personal))

    @property
    def declared(self) -> list[str]:
        """The fields that a record of it may have, by its schema, sorted."""
        return sorted(self._schema.get("properties", ()))

    def raw(self, record: Any) -> Any:
        """The record as it may be shown: personal fields masked, and what no schema declares hidden."""
        if not self.spec.personal:
            return record
        return hide_undeclared(mask_fields(record, self.spec.personal), self._schema)

    def canonical(
        self, value: Mapping[str, Any] | None, table: Table, typed: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """A canonical value as it may be shown: whatever ``table`` can have taken from a personal field is masked.

        ``typed``: words that the caller wrote into the record. They are hidden too: else a guess that repeats a
        personal value would be told from one that does not.
        """
        if value is None or not self.spec.personal:
            return None if value is None else dict(value)
        targets = reach.personal_targets(table.table, self.spec.personal)
        shown: dict[str, Any] = mask_fields(value, targets, told=typed)
        if kept := shown.get("extensions"):
            unread = reach.unread(table.table, self.spec.personal)
            known = {name: each for name, each in self._schema.get("properties", {}).items() if name not in unread}
            declared = {**self._schema, "type": "object", "properties": known}
            shown = {**shown, "extensions": hide_undeclared(kept, declared)}
        return shown

    @property
    def _schema(self) -> Mapping[str, Any]:
        return self.connector.schemas[self.spec.name]


def stream_of(hub: Hub, access: Access, system: str, stream: str) -> Stream:
    """The stream. NotFoundError if the caller's brand has no such system, or that no such stream."""
    connector = hub.estate.connectors.get(system)
    if connector is None or (connector.config.owner, connector.config.brand) != (access.owner, access.brand):
        raise NotFoundError(f"no system {system!r} is connected for this brand", code="system.unknown", system=system)
    return Stream(connector, hub.estate.stream(system, stream))


def shown_issues(issues: Sequence[Issue]) -> list[dict[str, str]]:
    """Issues as plain values."""
    return [{"field": issue.field, "code": issue.code, "detail": issue.detail} for issue in issues]


def as_text(value: Any) -> str:
    """JSON on several lines."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
