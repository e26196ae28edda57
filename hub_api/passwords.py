"""Passwords: which ones are taken, and how they are kept (argon2id)."""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from canonical_model.errors import RejectedError, TransientError

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
MIN_DIFFERENT: Final = 5
AT_ONCE: Final = 4  # each takes 64 MiB: strangers who try to sign in must not fill the memory
WAIT_S: Final = 10.0

# Guessed first by everybody: a password that is nothing but these, digits and punctuation is refused.
_COMMON: Final = frozenset(
    """password passw0rd passwort passwd pass p@ss p@ssword p@ssw0rd qwerty qwertz qwertyuiop uiop qazwsx asdf asdfgh
    asdfghjkl zxcv zxcvbn zxcvbnm q w e r t abc abcd abcdef admin administrator root user test guest login welcome
    letmein hello changeme change me secret default temp temporary company iloveyou woaini nihao dragon monkey master
    sunshine princess football baseball superman yipan hub retail shop store spring summer autumn winter""".split()  # noqa: SIM905 - a list of words reads better
)
_LONGEST_COMMON: Final = max(map(len, _COMMON))

_hasher: Final = PasswordHasher()
_seats: Final = threading.BoundedSemaphore(AT_ONCE)


def check_rules(login: str, password: str) -> None:
    """Returns if ``password`` may be used by ``login``. RejectedError (``password.weak``) says what is wrong."""
    plain = _normal(password)
    wrong = None
    if len(plain) < MIN_LENGTH:
        wrong = f"it has {len(plain)} characters; take at least {MIN_LENGTH}, such as four words"
    elif len(plain) > MAX_LENGTH:
        wrong = f"it is over {MAX_LENGTH} characters"
    elif len(plain.casefold().replace(login.casefold(), "")) < MIN_LENGTH // 2:
        wrong = "it is little more than the login"
    elif len(set(plain)) < MIN_DIFFERENT:
        wrong = f"it repeats fewer than {MIN_DIFFERENT} different characters"
    elif _is_common(plain.casefold()):
        wrong = "everybody guesses it first; take four words that have nothing to do with each other"
    if wrong is not None:
        raise RejectedError(f"this password cannot be taken: {wrong}", code="password.weak")


def hash_password(password: str) -> str:
    """The argon2id hash to keep. TransientError as ``is_right``."""
    with _seat():
        return _hasher.hash(_normal(password))


def is_right(kept: str | None, password: str) -> bool:
    """Whether ``password`` is the one behind the hash. Without a hash it takes as long, and is never right.

    TransientError (``sign_in.busy``) when too many others are being looked at.
    """
    plain = _normal(password[: MAX_LENGTH * 4])
    with _seat():
        try:
            return _hasher.verify(kept or _dummy(), plain) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def _is_common(plain: str) -> bool:
    """Whether it can be cut into common words and single characters that are no letters."""
    reached = [True, *(False for _ in plain)]
    for end in range(1, len(plain) + 1):
        reached[end] = (reached[end - 1] and not plain[end - 1].isalpha()) or any(
            reached[start] and plain[start:end] in _COMMON for start in range(max(0, end - _LONGEST_COMMON), end)
        )
    return reached[-1]


@contextmanager
def _seat() -> Iterator[None]:
    """A place among those who may use that much memory; a crowd waits its turn, but not for ever."""
    if not _seats.acquire(timeout=WAIT_S):
        raise TransientError("too many people sign in at this moment; try again", code="sign_in.busy")
    try:
        yield
    finally:
        _seats.release()


@cache
def _dummy() -> str:
    return _hasher.hash("nobody has this password")


def _normal(password: str) -> str:
    """The same password whichever keyboard composed its characters; half a surrogate pair becomes a question mark."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()
