"""Accounts for tests: one admin of the estate's brand, and whoever else is wanted."""

from typing import Final

from flows.runtime.bootstrap import Hub
from hub_api import people, sessions
from hub_api.auth import Access, command_line
from hub_api.sessions import Session

PASSWORD: Final = "vier Worte ohne Zusammenhang"
GIVEN: Final = "given by an admin, to change"
ADDRESS: Final = "192.0.2.1"


def shell(hub: Hub, brand: str | None = None) -> Access:
    """The command line."""
    return command_line(hub.estate.owner, brand or hub.estate.brand)


def make_person(hub: Hub, login: str, *roles: str, brand: str | None = None) -> None:
    """An account whose holder has chosen PASSWORD already."""
    people.create_person(hub, shell(hub, brand), login, name=f"Name of {login}", roles=roles, password=PASSWORD)
    hub.database.run("UPDATE person SET must_change_password = false WHERE login = %s", (login,))


def signed_in(hub: Hub, login: str, code: str | None = None) -> Session:
    """A session of that account."""
    return sessions.sign_in(hub, login, PASSWORD, code, address=ADDRESS)
