"""Places column by column: what a search over hundreds of them reads is a few lists, not hundreds of values."""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, overload

import orjson

from flows.one_stock.routing.problem import Place

_id: Final = attrgetter("id")


class Listed(Sequence[Place]):
    """Places by id. A column that is absent holds the default in every place.

    ``columns``: everything but goods, by the name in ``Place``; ``held``: each place's stock; ``stock``: the same SKU
    by SKU, place by place; ``known``: what ``has`` found out, for whoever changes the stock to forget; ``weekly``: what
    each place sells, where anything is known of that; ``nearest``: positions by distance, where all are known;
    ``facts``: the columns that are the same for every order of a batch, packed.
    The lists are not copied: places are built of what they hold when they are asked for.
    """

    def __init__(
        self,
        columns: Mapping[str, Sequence[Any]],
        held: Sequence[Mapping[int, int]],
        stock: Mapping[int, Sequence[int]],
        *,
        known: dict[int, bytes] | None = None,
        weekly: Sequence[Mapping[int, float]] | None = None,
        nearest: Sequence[int] | None = None,
        facts: orjson.Fragment | None = None,
    ) -> None:
        self.columns, self.weekly, self.nearest, self.facts = columns, weekly, nearest, facts
        self._held, self._stock, self._any = held, stock, {} if known is None else known

    @classmethod
    def of(cls, places: Sequence[Place]) -> "Listed":
        """These places, by id."""
        return places if isinstance(places, Listed) else _Gathered(places)

    def __len__(self) -> int:
        return len(self._held)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Place, ...]: ...
    def __getitem__(self, index: int | slice) -> Place | tuple[Place, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        own = {name: column[index] for name, column in self.columns.items()}
        if self.weekly is not None:
            own["weekly"] = self.weekly[index]
        return Place(stock=self._held[index], **own)

    def __iter__(self) -> Iterator[Place]:
        return (self[n] for n in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def column(self, name: str) -> Sequence[Any] | None:
        """What every place says there; None where all say the default."""
        return self.columns.get(name)

    def units(self, sku_id: int) -> Sequence[int]:
        """What every place has of a SKU."""
        return self._stock[sku_id]

    def has(self, sku_id: int) -> bytes:
        """Whether every place has any of a SKU, a 1 or 0 each."""
        known = self._any.get(sku_id)
        if known is None:
            known = self._any[sku_id] = bytes(map(bool, self.units(sku_id)))
        return known


class _Gathered(Listed):
    """Columns that are read off places one has already."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = sorted(places, key=_id)
        weekly = [place.weekly for place in self._places]
        super().__init__({}, [place.stock for place in self._places], {}, weekly=weekly if any(weekly) else None)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Place, ...]: ...
    def __getitem__(self, index: int | slice) -> Place | tuple[Place, ...]:
        return tuple(self._places[index]) if isinstance(index, slice) else self._places[index]

    def column(self, name: str) -> Sequence[Any]:
        return [getattr(place, name) for place in self._places]

    def units(self, sku_id: int) -> Sequence[int]:
        return [units if (units := held.get(sku_id, 0)) > 0 else 0 for held in self._held]
