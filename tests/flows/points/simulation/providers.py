"""Providers and suppliers in this process, each with books of its own. They misbehave as they were told before."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from canonical_model.errors import NotFoundError, RejectedError, TransientError, UncertainError
from canonical_model.ports import Idempotency, LaneSpec, Receipt, Record, WriterSpec

SYSTEMS = {"airline": ("credit", "debit"), "finance": ("credit", "debit"), "giftco": ("reserve", "confirm", "cancel")}
BUSY, LOST, UNHEARD = "busy", "lost", "unheard"
"""Faults: certainly not done; not done, and nobody knows; done, and nobody heard."""


@dataclass
class World:
    """Everybody's books. ``faults``: what happens to the next writes about a reference."""

    accounts: dict[str, int] = field(default_factory=dict)
    movements: list[tuple[str, str, str, int]] = field(default_factory=list)
    orders: dict[str, str] = field(default_factory=dict)
    sold_out: set[str] = field(default_factory=set)
    lapsing: set[str] = field(default_factory=set)
    shipped: set[str] = field(default_factory=set)
    faults: defaultdict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    answers: dict[tuple[str, str], Receipt] = field(default_factory=dict)

    def writer(self, name: str) -> "Destination":
        system, _, deed = name.partition(".")
        if deed not in SYSTEMS.get(system, ()):
            raise NotFoundError(f"there is no writer {name!r}")
        return Destination(self, system, deed)

    @property
    def lanes(self) -> dict[str, LaneSpec]:
        return {system: LaneSpec() for system in SYSTEMS}


@dataclass(frozen=True)
class Destination:
    """One writer. The airline does a thing twice that it is told twice, so it has to be asked; others know keys."""

    world: World
    system: str
    deed: str

    @property
    def spec(self) -> WriterSpec:
        way = Idempotency.READ_BACK if self.system == "airline" else Idempotency.NATIVE_KEY
        return WriterSpec(name=self.deed, mapping="", idempotency=way, timeout_s=0.01)

    @property
    def lane(self) -> str:
        return self.system

    def write(self, key: str, body: Record) -> Receipt:
        reference = str(body.get("reference") or body.get("order_no"))
        faults = self.world.faults[reference]
        fault = faults.popleft() if faults else ""
        if fault == BUSY:
            raise TransientError("away")
        if fault == LOST:
            raise UncertainError("no answer")
        known = self.world.answers.get((self._name, key)) if self.system != "airline" else None
        receipt = known or self._do(key, reference, body)
        self.world.answers[self._name, key] = receipt
        if fault == UNHEARD:
            raise UncertainError("no answer")
        return receipt

    def find(self, key: str) -> Receipt | None:
        return self.world.answers.get((self._name, key))

    @property
    def _name(self) -> str:
        return f"{self.system}.{self.deed}"

    def _do(self, key: str, reference: str, body: Mapping[str, Any]) -> Receipt:
        if self.system != "giftco":
            self._move(reference, str(body["account"]), int(body["points"]))
            return Receipt(f"{self.system}-{len(self.world.movements)}")
        state = getattr(self, f"_{self.deed}")(reference, self.world.orders.get(reference, ""))
        if state:
            self.world.orders[reference] = state
        return Receipt(f"G-{reference}", {"state": self.world.orders.get(reference, "")})

    def _move(self, reference: str, account: str, points: int) -> None:
        amount = points if self.deed == "credit" else -points
        if self.world.accounts[account] + amount < 0:
            raise RejectedError("too few", code="provider.insufficient")
        self.world.accounts[account] += amount
        self.world.movements.append((self.system, reference, account, amount))

    def _reserve(self, reference: str, state: str) -> str:
        if reference in self.world.sold_out:
            raise RejectedError("sold out", code="supplier.out_of_stock")
        return state or "held"

    def _confirm(self, reference: str, state: str) -> str:
        if reference in self.world.lapsing or state == "cancelled":
            raise RejectedError("lapsed", code="supplier.lapsed")
        return "ordered"

    def _cancel(self, reference: str, state: str) -> str:
        if reference in self.world.shipped:
            raise RejectedError("shipped", code="supplier.shipped")
        return "cancelled" if state else ""
