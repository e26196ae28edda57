"""Opens the hub for one command."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.runtime.bootstrap import Hub, build
from flows.runtime.settings import get_settings
from hub_api.auth import Access, command_line
from hub_api.cli.output import working


@contextmanager
def opened_hub() -> Iterator[Hub]:
    """The hub of this environment, closed afterwards. Starts the embedded PostgreSQL if it is the one to use."""
    with working("opening the hub"):
        hub = build(get_settings())
    with hub:
        yield hub


def operator(hub: Hub, brand: str | None = None) -> Access:
    """Whoever runs this command, in the given brand or the estate's own."""
    return command_line(hub.estate.owner, brand or hub.estate.brand)
