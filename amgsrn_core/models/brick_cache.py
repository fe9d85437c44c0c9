# SPDX-License-Identifier: BSD-3-Clause
"""Bricks in memory: read when they are needed, those not used for longest given up when there are too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that takes memory."""

    @property
    def bytes(self) -> int:
        """How much."""


Brick = TypeVar("Brick", bound=Sized)


class BrickCache(Generic[Brick]):
    """Bricks by their number.

    Args:
        load: gives a brick.
        memory: bytes that bricks may take together; but one is always kept. How much a brick takes is known once it is
            there, so that room is made for as large a one as any before.
    """

    def __init__(self, load: Callable[[int], Brick], memory: int) -> None:
        self._load, self._memory = load, memory
        self._bricks: OrderedDict[int, Brick] = OrderedDict()  # those used last come last
        self._largest = 0
        self.bytes = 0
        self.changes = 0  # so that others can tell whether the bricks are those they saw

    def __len__(self) -> int:
        return len(self._bricks)

    @property
    def bricks(self) -> dict[int, Brick]:
        """Those in memory."""
        return dict(self._bricks)

    def groups(self, wanted: list[int]) -> Iterator[dict[int, Brick]]:
        """All bricks wanted, in groups that fit into memory; a group must be done with when the next is asked for.

        What is there already comes first, so that the same wish again reads as little as possible.
        """
        group: dict[int, Brick] = {}
        for brick in sorted(wanted, key=lambda brick: brick not in self._bricks):
            if brick not in self._bricks:
                if not self._make_room(self._largest, group) and group:
                    yield group
                    group = {}
                    self._make_room(self._largest, group)
                self._add(brick)
                self._make_room(0, {**group, brick: self._bricks[brick]})
            self._bricks.move_to_end(brick)
            group[brick] = self._bricks[brick]
        if group:
            yield group

    def _add(self, brick: int) -> None:
        loaded = self._load(brick)
        self._bricks[brick] = loaded
        self._largest = max(self._largest, loaded.bytes)
        self.bytes += loaded.bytes
        self.changes += 1

    def _make_room(self, wanted: int, spared: dict[int, Brick]) -> bool:
        """Give up bricks until so many bytes are free, but none that is spared; False if they are not."""
        for brick in [brick for brick in self._bricks if brick not in spared]:
            if self.bytes + wanted <= self._memory:
                break
            self.bytes -= self._bricks.pop(brick).bytes
            self.changes += 1
        return self.bytes + wanted <= self._memory
