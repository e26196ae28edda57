"""What a routing decision is made of: goods, places, and the plan that joins them. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NO_STOCK: Final = "no_stock"


class Action(StrEnum):
    """What becomes of an order: all of it planned, a part of it, later again, or nothing."""

    ALLOCATE = "allocate"
    PARTIAL = "partial"
    QUEUE = "queue"
    CANCEL = "cancel"


class Stopped(StrEnum):
    """Why the search ended: the plan is proved best, the budget was used up, or the emergency clock rang."""

    PROVED = "proved"
    BUDGET = "budget"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Part:
    """``per_set`` units of a SKU, for one order line, in every set of an item."""

    line_no: int
    sku_id: int
    per_set: int = 1


@dataclass(frozen=True, slots=True)
class Item:
    """``quantity`` sets of ``parts``; each set leaves whole, from one place.

    A plain line is one part with ``per_set`` 1. A bundle has one part a component. A group that must not be split
    is one set with all its lines. ``value_minor`` is the price of the whole item.
    """

    parts: tuple[Part, ...]
    quantity: int
    value_minor: int = 0


@dataclass(slots=True, unsafe_hash=True)
class Place:
    """A place and what it can promise, in base units by SKU id. What is not known is None.

    Never changed once built; not frozen only because building hundreds of them for every order takes its time.

    ``km``: to the buyer. ``rating``: 0 to 5. ``acceptance``: share of asked parcels it took, 0 to 1.
    ``capacity_left``: parcels it may still take today. ``weekly``: units it sells a week, by SKU id.
    ``days``: until goods from here arrive; without it the rules reckon with the distance. ``is_members``: the buyer's
    own store. ``serves`` and ``open``: whether the buyer lies in its service area, and whether it works now.
    ``refused``: why it may not be asked again.
    """

    id: int
    stock: Mapping[int, int]
    code: str = ""
    km: float | None = None
    kind: str = "store"
    brand: str = ""
    rating: float | None = None
    acceptance: float | None = None
    capacity_left: int | None = None
    weekly: Mapping[int, float] = field(default_factory=dict)
    days: float | None = None
    is_members: bool = False
    serves: bool = True
    open: bool = True
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One order to be planned, over the places there are (by id, each once).

    ``promised_days``: how many days from now the buyer was promised the goods within.
    """

    items: tuple[Item, ...]
    places: Sequence[Place]
    channel: str = ""
    brand: str = ""
    promised_days: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """Part of an order line, from the place of its parcel."""

    line_no: int
    sku_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class PlannedParcel:
    """What one place sends."""

    place_id: int
    lines: tuple[PlannedLine, ...]
    km: float | None = None


@dataclass(slots=True, unsafe_hash=True)
class Considered:
    """What was thought of a place: the filter that removed it, or its score on each tier, in the tiers' order.

    Never changed once built, as Place.

    A score is what one parcel from here adds to that tier; lower is better.
    """

    place_id: int
    removed_by: str | None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Parcels, and what none of them carries. ``cost`` by the cost model; no plan that fills as much costs less than
    ``bound``; ``gap`` is ``(cost - bound) / bound``, 0 when proved best."""

    parcels: tuple[PlannedParcel, ...]
    unfilled: tuple[PlannedLine, ...]
    cost: float
    bound: float
    stopped: Stopped = Stopped.PROVED
    nodes: int = 0
    iterations: int = 0

    @property
    def gap(self) -> float:
        """How far the cost may be above the least possible, as a share of the latter."""
        return 0.0 if self.cost <= self.bound else (self.cost - self.bound) / max(self.bound, 1e-9)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: what to do, the plan (empty parcels unless allocate or partial), and what led to it.

    ``considered`` has every place of the problem, by id. ``best_partial`` is what could have been sent when the
    rules say to send nothing.
    """

    action: Action
    plan: Plan
    considered: tuple[Considered, ...]
    best_partial: Plan | None = None
