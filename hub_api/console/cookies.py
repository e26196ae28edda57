"""The console's cookies: the session, the sign-in form's token, and how a person likes to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from starlette.responses import Response

YEAR_S: Final = 365 * 86_400
SAME_SITE: Final[Literal["lax"]] = "lax"


@dataclass(frozen=True, slots=True)
class Cookies:
    """Names and attributes. Behind https (``secure``) they are Secure and carry the ``__Host-`` prefix."""

    secure: bool

    @property
    def session(self) -> str:
        """The name of the session's cookie."""
        return self._name("yipan_session")

    @property
    def form(self) -> str:
        """The name of the cookie that proves where a sign-in form came from."""
        return self._name("yipan_form")

    @property
    def sign_on(self) -> str:
        """The name of the cookie that holds a sign-on at the identity provider while it is under way."""
        return self._name("yipan_sign_on")

    def token(self, cookies: Mapping[str, str]) -> str:
        """The session token that a browser shows; empty if none."""
        return cookies.get(self.session, "")

    def keep(self, answer: Response, name: str, value: str, *, max_age_s: int | None = None) -> None:
        """Set a cookie that no script can read."""
        answer.set_cookie(
            name, value, max_age=max_age_s, path="/", secure=self.secure, httponly=True, samesite=SAME_SITE
        )

    def drop(self, answer: Response, name: str) -> None:
        """Remove it."""
        answer.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite=SAME_SITE)

    def remember(self, answer: Response, name: str, value: str) -> None:
        """Set a preference for a year."""
        answer.set_cookie(
            f"yipan_{name}", value, max_age=YEAR_S, path="/", secure=self.secure, httponly=True, samesite=SAME_SITE
        )

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name


def cookies_of(public_url: str | None) -> Cookies:
    """The cookies of a console that people reach at ``public_url``."""
    return Cookies(secure=public_url is not None and urlsplit(public_url).scheme == "https")
