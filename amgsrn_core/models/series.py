# SPDX-License-Identifier: BSD-3-Clause
"""A field that changes with time: one field per time step."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..domain import Domain
from ..field import ArrayInfo, Field
from ..memory import memory_limit

# Steps that are kept whatever they take: interpolation needs two.
_LEAST_KEPT = 2


class SeriesField(Field):
    """Time steps, read when they are needed and given up when there are too many; as a field it is one of them, or what
    lies between two.

    Attributes:
        times: of the steps, ascending, as in `domain.times`.
        time: the present time, as in `domain.time`.

    Args:
        domain: with `times`, and `time` being one of them.
        array: of all steps.
        device: of all steps.
        sizes: bytes that each step takes, about.
        load: gives a step, counted from 0.
        memory: bytes that steps may take together; but two are always kept. If None, see `memory.memory_limit`.

    Raises:
        InvalidSetting: AMGSRN_MEMORY is not an amount of memory.
    """

    def __init__(
        self,
        domain: Domain,
        array: ArrayInfo,
        device: torch.device,
        sizes: Sequence[int],
        load: Callable[[int], Field],
        memory: int | None = None,
    ) -> None:
        self.domain = domain
        self.array = array
        self._device = device
        self._steps = _Steps(sizes, load, memory_limit(device) if memory is None else memory)
        self._interpolate = False

    @property
    def times(self) -> tuple[float, ...]:
        return self.domain.times

    @property
    def time(self) -> float:
        assert self.domain.time is not None
        return self.domain.time

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def is_threaded(self) -> bool:
        return self.present.is_threaded

    @property
    def has_gaps(self) -> bool:
        return self.present.has_gaps

    def step(self, index: int) -> Field:
        """A step's field, counted from 0.

        Raises:
            IndexError: no such step.
            ModelFileDamaged: it cannot be read.
        """
        if not 0 <= index < len(self.times):
            raise IndexError(f"step {index} of {len(self.times)}")
        return self._steps.get(index)

    def nearest(self, time: float) -> int:
        """The step nearest to a time; of two, the earlier one."""
        return min(range(len(self.times)), key=lambda step: abs(self.times[step] - time))

    def at(self, time: float, interpolate: bool = False) -> SeriesField:
        """The same series at another time; both share the steps that are in memory.

        Args:
            time: before the first step and after the last one the field stays as it is there; no number means the first.
            interpolate: linearly between the two steps about `time`; else it is the nearest step.
        """
        other = SeriesField.__new__(SeriesField)
        other.__dict__.update(self.__dict__)
        other._interpolate = interpolate
        present = min(max(self.times[0], time), self.times[-1]) if interpolate else self.times[self.nearest(time)]
        other.domain = replace(self.domain, time=present)
        return other

    @property
    def present(self) -> Field:
        """The field at the present time."""
        if not self._interpolate or self.time in self.times:
            return self.step(self.nearest(self.time))
        upper = bisect_right(self.times, self.time)
        before, after = self.times[upper - 1], self.times[upper]
        return BlendedField(
            self.step(upper - 1), self.step(upper), (self.time - before) / (after - before), self.domain
        )

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        return self.present.sample(points)

    def sample_for_display(self, points: torch.Tensor) -> torch.Tensor:
        return self.present.sample_for_display(points)

    def sample_with_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.present.sample_with_gradient(points)


class BlendedField(Field):
    """What lies between two fields of one array: (1 - share) of the first and `share` of the second; nothing where one of
    them has nothing."""

    def __init__(self, first: Field, second: Field, share: float, domain: Domain) -> None:
        self.fields = (first, second)
        self.share = share
        self.domain = domain
        self.array = first.array

    @property
    def device(self) -> torch.device:
        return self.fields[0].device

    @property
    def is_threaded(self) -> bool:
        return all(field.is_threaded for field in self.fields)

    @property
    def has_gaps(self) -> bool:
        return any(field.has_gaps for field in self.fields)

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        first, second = (field.sample(points) for field in self.fields)
        return torch.lerp(first, second, self.share)

    def sample_for_display(self, points: torch.Tensor) -> torch.Tensor:
        first, second = (field.sample_for_display(points) for field in self.fields)
        return torch.lerp(first, second, self.share)

    def sample_with_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (value_1, gradient_1), (value_2, gradient_2) = (field.sample_with_gradient(points) for field in self.fields)
        return torch.lerp(value_1, value_2, self.share), torch.lerp(gradient_1, gradient_2, self.share)


class _Steps:
    """The steps in memory, those used last."""

    def __init__(self, sizes: Sequence[int], load: Callable[[int], Field], memory: int) -> None:
        self._sizes, self._load, self._memory = sizes, load, memory
        self._kept: OrderedDict[int, Field] = OrderedDict()

    def get(self, index: int) -> Field:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        while len(self._kept) >= _LEAST_KEPT and self._bytes() + self._sizes[index] > self._memory:
            self._kept.popitem(last=False)
        self._kept[index] = self._load(index)
        return self._kept[index]

    def _bytes(self) -> int:
        return sum(self._sizes[step] for step in self._kept)
