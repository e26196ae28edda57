"""Faults that simulators inject, chosen by a seed so that a run can be repeated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_DELAY_S: Final = 0.3


class Fault(StrEnum):
    """What can go wrong on any wire. A simulator may know more kinds of its own."""

    DELAY = "delay"
    ERROR500 = "error500"
    DROP_ANSWER = "drop_answer"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"


class Faults:
    """Rates from 0 (never) to 1 (always), by kind; ValueError for an unknown kind or another number."""

    def __init__(self, seed: int, rates: Mapping[str, float] | None = None, *, also: Iterable[str] = ()) -> None:
        self.random = random.Random(seed)
        self._rates = dict.fromkeys([*Fault, *also], 0.0)
        self.set(rates or {})

    @property
    def rates(self) -> dict[str, float]:
        """Every known kind and its rate."""
        return {str(kind): rate for kind, rate in self._rates.items()}

    def set(self, rates: Mapping[str, float]) -> None:
        """Change the named rates, leave the others."""
        for kind, rate in rates.items():
            if kind not in self._rates:
                raise ValueError(f"unknown fault {kind!r}; choose from {', '.join(self._rates)}")
            if not isinstance(rate, int | float) or not 0 <= rate <= 1:
                raise ValueError(f"the rate of {kind!r} must be between 0 and 1, not {rate!r}")
        self._rates.update(rates)

    def strikes(self, kind: str) -> bool:
        """Whether this fault happens now."""
        rate = self._rates[kind]
        return rate > 0 and self.random.random() < rate


class FaultyWire:
    """ASGI middleware: delays, answers 500 instead of working, or works and closes the connection unanswered.

    Paths that start with ``/_`` are controls and stay sound.
    """

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_"):
            await self._app(scope, receive, send)
            return
        if self._faults.strikes(Fault.DELAY):
            await asyncio.sleep(self._faults.random.uniform(0, MAX_DELAY_S))
        if self._faults.strikes(Fault.ERROR500):
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"injected fault"})
        elif self._faults.strikes(Fault.DROP_ANSWER):
            await self._app(scope, receive, _swallow)
            await _hang_up(send)
        else:
            await self._app(scope, receive, send)


async def _swallow(message: Message) -> None:
    """Takes the application's answer and sends nothing."""


async def _hang_up(send: Send) -> None:
    """Close the connection now. ASGI cannot say this, so it is said to uvicorn's request cycle behind ``send``."""
    cycle: Any = send.__self__  # type: ignore[attr-defined]
    cycle.message_event.clear()
    cycle.transport.abort()
    await cycle.message_event.wait()
