# SPDX-License-Identifier: BSD-3-Clause
"""In which order bricks are begun, and which have to be begun again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from amgsrn_core.partition import Partition

from ..errors import WorkersDied
from .halos import neighbour

# So many workers may die over one brick.
MOST_DEATHS = 3


class BrickQueue:
    """Bricks to be done, in the order of their numbers.

    A brick whose lower neighbour is just being read waits for that, which is short, and then finds in a file the layer
    that both need.

    Args:
        partition: of the volume.
        bricks: to be done.
        patient: whether to wait for neighbours.
    """

    def __init__(self, partition: Partition, bricks: Iterable[int], patient: bool) -> None:
        self._partition, self._patient = partition, patient
        self._waiting = deque(sorted(bricks))
        self._reading: set[int] = set()
        self._running: set[int] = set()
        self._deaths: Counter[int] = Counter()

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not self._waiting and not self._running

    def next(self, most: int = 1) -> list[int]:
        """The next bricks that can be begun by one worker, in this order, and are then on their way; none if none can."""
        group: list[int] = []
        while self._waiting and len(group) < most:
            # Those of the same group are read one after the other.
            elsewhere = self._reading - set(group)
            if self._patient and elsewhere & set(self._lower(self._waiting[0])):
                break
            brick = self._waiting.popleft()
            self._running.add(brick)
            self._reading.add(brick)
            group.append(brick)
        return group

    def read(self, brick: int) -> None:
        """A brick has been read."""
        self._reading.discard(brick)

    def done(self, brick: int) -> None:
        """A brick is finished."""
        self._reading.discard(brick)
        self._running.discard(brick)

    def lost(self, brick: int, reason: str) -> None:
        """A brick's worker has died; it is done again.

        Raises:
            WorkersDied: for the last time.
        """
        self.done(brick)
        self._deaths[brick] += 1
        if self._deaths[brick] >= MOST_DEATHS:
            raise WorkersDied(brick, self._deaths[brick], reason)
        self._waiting.appendleft(brick)

    def _lower(self, brick: int) -> list[int]:
        found = (neighbour(self._partition, brick, axis, -1) for axis in range(3))
        return [lower for lower in found if lower is not None]
