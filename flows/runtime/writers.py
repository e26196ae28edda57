"""A destination as flows see it: canonical in, the outside's own words out."""

from datetime import UTC, datetime

from canonical_model.ports import Connector, LaneSpec, Receipt, Record, WriterSpec
from mappings.engine import MapContext, Mapping, load_mapping


class BoundWriter:
    """One writer of one connected system, bound to its outward mapping. Safe to share between threads."""

    def __init__(self, connector: Connector, spec: WriterSpec) -> None:
        self.spec = spec
        self._connector = connector
        self._mapping: Mapping = load_mapping(connector.config.connector, spec.mapping)

    @property
    def system(self) -> str:
        """This installation's name of the destination."""
        return self._connector.config.name

    @property
    def lane(self) -> str:
        """The lane that limits the writes to this destination."""
        return self.spec.lane or self.system

    @property
    def lane_spec(self) -> LaneSpec:
        """How many writes at once and a second the destination bears."""
        return self._connector.manifest.lane

    def write(self, key: str, body: Record) -> Receipt:
        """Map the canonical ``body`` outward and send it under ``key``.

        Raises RecordError (cannot be mapped, nothing sent) and what the connector's writer raises:
        TransientError, RejectedError, UncertainError.
        """
        config = self._connector.config
        context = MapContext(
            owner=config.owner,
            brand=config.brand,
            system=config.name,
            zone=config.zone,
            message_id=key,
            received_at=datetime.now(UTC),
        )
        return self._connector.writers[self.spec.name].write(key, self._mapping.map(body, context))

    def find(self, key: str) -> Receipt | None:
        """Whether ``key`` landed: its receipt, or None."""
        return self._connector.writers[self.spec.name].find(key)
