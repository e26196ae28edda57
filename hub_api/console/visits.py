"""A signed-in person at the console: whose session, with which rights, found anew each time something is asked."""

from dataclasses import dataclass

from canonical_model.errors import AccessError
from flows.runtime.bootstrap import Hub
from hub_api import sessions
from hub_api.auth import Access
from hub_api.sessions import Session


class SessionEndedError(AccessError):
    """The session is over: it was signed out, revoked, or its time has come."""

    def __init__(self) -> None:
        super().__init__("your session has ended; sign in again", code="sign_in.ended")


@dataclass(frozen=True, slots=True)
class Visit:
    """Who is here. ``access`` opens nothing while a password must be changed."""

    hub: Hub
    session: Session

    @property
    def token(self) -> str:
        """The session's token."""
        return self.session.token

    @property
    def access(self) -> Access:
        """What the person may do in the brand they look at."""
        return self.session.access

    @property
    def form_token(self) -> str:
        """What a form of this session carries."""
        return sessions.csrf_token(self.session.token)


def find_visit(hub: Hub, token: str, *, idle: bool = False) -> Visit | None:
    """The visit of whoever holds ``token``, or None. ``idle``: a page asked by itself, the person need not be there."""
    found = sessions.get_session(hub.database, token, active=not idle)
    return Visit(hub, found) if found else None
