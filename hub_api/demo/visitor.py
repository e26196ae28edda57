"""Somebody who may look around the console of the demo's hub, until told to stop."""

import secrets
from dataclasses import dataclass
from typing import Final

from hub_api import people, sessions
from hub_api.auth import command_line
from hub_api.demo.estate import DemoEstate

LOGIN: Final = "demo"
HERE: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where to look, and as whom."""

    url: str
    login: str
    password: str


def invite(estate: DemoEstate) -> Visitor:
    """A new account with every right, its password known from now on."""
    hub = estate.hub
    first, password = secrets.token_urlsafe(18), secrets.token_urlsafe(12)
    person = command_line(hub.estate.owner, hub.estate.brand)
    people.create_person(hub, person, LOGIN, name="Demo", roles=["admin"], password=first)
    session = sessions.sign_in(hub, LOGIN, first, None, address=HERE)
    session = sessions.change_password(hub, session.token, first, password, address=HERE)
    sessions.sign_out(hub.database, session.token)
    return Visitor(f"{estate.url}/console", LOGIN, password)
