"""Turns at what strangers may ask for and what takes long: looking at a password, asking the company's provider.

A few at once in threads of their own, a short queue, and beyond it a refusal at once. The threads that everything
else shares never wait for a sign-in.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

from canonical_model.errors import TransientError
from hub_api import passwords
from hub_api.console.guard import AGAIN_S

P = ParamSpec("P")
T = TypeVar("T")


class Turns:
    """``at_once`` are at work, ``waiting`` more may wait; used from the event loop only."""

    def __init__(self, name: str, *, at_once: int, waiting: int) -> None:
        self.room = at_once + waiting
        self._inside = 0
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What ``work`` returns or raises when its turn has come. TransientError (``sign_in.busy``): none is left."""
        if self._inside >= self.room:
            raise TransientError(
                "too many people sign in at this moment; try again", code="sign_in.busy", after_s=AGAIN_S
            )
        self._inside += 1
        try:
            call = partial(copy_context().run, partial(work, *given, **named))
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._inside -= 1


PASSWORDS: Final = Turns("password", at_once=passwords.AT_ONCE, waiting=16)
SIGN_ONS: Final = Turns("sign-on", at_once=16, waiting=64)
