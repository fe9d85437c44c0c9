# SPDX-License-Identifier: BSD-3-Clause
"""Many networks as one field, one per brick of the volume (Wurster et al., section 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .. import kernels
from ..domain import Domain
from ..field import ArrayInfo, Field
from ..memory import memory_limit
from ..partition import Partition
from .amgsrn import AMGSRNField
from .brick_cache import BrickCache
from .constant import ConstantField
from .masked import Mask, MaskedField


class EnsembleField(Field):
    """Bricks that take over from each other where they meet. They are read when points first need them, and given up
    when they take too much memory, which changes no value.

    Whether there is a value at a point says the mask of the brick that owns it.

    Args:
        domain: of the whole.
        array: of the whole.
        partition: where the bricks are.
        load: gives a brick's field, which is its own box's: an `AMGSRNField` or a `ConstantField`, on `device`, with gaps
            (`MaskedField`) or without.
        device: of all bricks.
        has_gaps: whether any brick has gaps, or no values.
        memory: bytes that bricks may take together; but one is always kept. If None, see `memory.memory_limit`.

    Raises:
        InvalidSetting: AMGSRN_MEMORY is not an amount of memory.
    """

    def __init__(
        self,
        domain: Domain,
        array: ArrayInfo,
        partition: Partition,
        load: Callable[[int], Field],
        device: torch.device | None = None,
        has_gaps: bool = False,
        memory: int | None = None,
    ) -> None:
        self.domain = domain
        self.array = array
        self.partition = partition
        self._device = device or torch.device("cpu")
        self._has_gaps = has_gaps
        limit = memory_limit(self._device) if memory is None else memory
        self._bricks = BrickCache(lambda brick: _Brick.of(load(brick)), limit)
        self._evaluator: tuple[int, kernels.EnsembleEvaluator] | None = None
        nothing = torch.zeros(array.components, device=self._device)
        # Tells which bricks points need, and is there before any brick is.
        self._locator = self._evaluator_of({0: _Brick(kernels.Member(nothing, nothing), None)})

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def is_threaded(self) -> bool:
        return kernels.chosen_backend(self._device.type)[0] == "cpu"

    @property
    def has_gaps(self) -> bool:
        return self._has_gaps

    @property
    def bytes_in_memory(self) -> int:
        """Memory that bricks take at present."""
        return self._bricks.bytes

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        """See `Field.sample`.

        Raises:
            ModelFileDamaged: a brick that is needed cannot be read.
        """
        return self._sample(points, fast=False)

    def sample_for_display(self, points: torch.Tensor) -> torch.Tensor:
        return self._sample(points, fast=True)

    @torch.inference_mode()
    def sample_with_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Field.sample_with_gradient`; where there is no value the gradient is zero."""
        values = points.new_zeros(len(points), self.array.components, dtype=torch.float64)
        gradients = points.new_zeros(len(points), self.array.components, 3, dtype=torch.float64)
        wanted = self._touched(points)
        gaps = _Gaps(self.partition, points)
        for group in self._bricks.groups(wanted):
            gaps.look(group)
            if len(group) == len(wanted):
                values, gradients = self._present().value_and_gradient(points)
            else:
                own, slopes = self._evaluator_of(group).partial_value_and_gradient(points)
                values, gradients = values + own, gradients + slopes
        values = gaps.cut(values.float())
        return values, gradients.float().masked_fill_(values.isnan().unsqueeze(2), 0.0)

    @torch.inference_mode()
    def _sample(self, points: torch.Tensor, fast: bool) -> torch.Tensor:
        values = points.new_zeros(len(points), self.array.components, dtype=torch.float64)
        wanted = self._touched(points)
        gaps = _Gaps(self.partition, points)
        for group in self._bricks.groups(wanted):
            gaps.look(group)
            if len(group) == len(wanted):
                values = self._present()(points, fast)
            else:
                values = values + self._evaluator_of(group).partial(points, fast)
        return gaps.cut(values.float())

    def _touched(self, points: torch.Tensor) -> list[int]:
        """The bricks that points need; all of them, where that makes no difference."""
        if len(self._bricks) == self.partition.count:
            return list(range(self.partition.count))
        return self._locator.touched(points)

    def _present(self) -> kernels.EnsembleEvaluator:
        """What evaluates all bricks in memory; those that points do not need do not matter."""
        if self._evaluator is None or self._evaluator[0] != self._bricks.changes:
            self._evaluator = None  # lets go of bricks that were given up
            self._evaluator = self._bricks.changes, self._evaluator_of(self._bricks.bricks)
        return self._evaluator[1]

    def _evaluator_of(self, bricks: dict[int, _Brick]) -> kernels.EnsembleEvaluator:
        present = [bricks.get(brick) for brick in range(self.partition.count)]
        return kernels.ensemble_evaluator(self.partition, [None if b is None else b.member for b in present])


@dataclass(frozen=True)
class _Brick:
    """A brick in memory."""

    member: kernels.Member
    mask: Mask | None

    @classmethod
    def of(cls, field: Field) -> _Brick:
        """What a brick's field is made of. Of the field itself nothing is kept."""
        mask = field.mask if isinstance(field, MaskedField) else None
        values = field.field if isinstance(field, MaskedField) else field
        if isinstance(values, AMGSRNField):
            network = values.network
            low, high = torch.tensor(values.scaling, dtype=torch.float64, device=values.device).unbind(1)
            weights, biases = network.mlp_parameters()
            scale, shift = (high - low).float(), low.float()
            return cls(kernels.Member(scale, shift, network.transforms(), network.grids, weights, biases), mask)
        if not isinstance(values, ConstantField):
            raise TypeError(f"a {type(values).__name__} cannot be a brick")
        row = values.sample(torch.zeros(1, 3, device=values.device))[0]
        return cls(kernels.Member(torch.zeros_like(row), row), mask)

    @property
    def bytes(self) -> int:
        return self.member.bytes + (0 if self.mask is None else self.mask.bytes)


class _Gaps:
    """Which of some points have no value, by the masks of the bricks that own them."""

    def __init__(self, partition: Partition, points: torch.Tensor) -> None:
        self._partition, self._points = partition, points
        self._of_brick: tuple[torch.Tensor, ...] = ()
        self._missing: list[torch.Tensor] = []

    def look(self, bricks: dict[int, _Brick]) -> None:
        """Ask the masks of these bricks."""
        for brick, loaded in bricks.items():
            if loaded.mask is not None:
                mine = self._owned(brick)
                if len(mine):
                    local = self._partition.to_local(self._points[mine], brick)
                    self._missing.append(mine[~loaded.mask.valid(local)])

    def cut(self, values: torch.Tensor) -> torch.Tensor:
        """Put not-a-number where the masks say that there is nothing, in place."""
        for missing in self._missing:
            values[missing] = float("nan")
        return values

    def _owned(self, brick: int) -> torch.Tensor:
        """Numbers of the points that a brick owns."""
        if not self._of_brick:  # sorted once for all bricks
            owners = self._partition.owners(self._points)
            counts = torch.bincount(owners, minlength=self._partition.count)
            self._of_brick = torch.argsort(owners).split(counts.tolist())
        return self._of_brick[brick]
