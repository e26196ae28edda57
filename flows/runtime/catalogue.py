"""Every version of every flow that this process can carry on."""

from collections.abc import Mapping

from flows.runtime.flow import Flow


class Catalogue:
    """Finds the flow that a run was started with: a run keeps its version to its end."""

    def __init__(self, flows: Mapping[str, Flow]) -> None:
        self._versions = {(flow.name, each.version): each for flow in flows.values() for each in (flow, *flow.retired)}
        self.known = [f"{name}@{version}" for name, version in self._versions]
        self.lanes = frozenset(flow.lane for flow in self._versions.values())

    def find(self, name: str, version: int) -> Flow | None:
        """That version of that flow, if this process has it."""
        return self._versions.get((name, version))
