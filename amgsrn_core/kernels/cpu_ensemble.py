# SPDX-License-Identifier: BSD-3-Clause
"""The compiled kernels for ensembles (native/ensemble.cc)."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence

import torch

from ..partition import Partition
from ..threads import thread_count
from .cpu import Layout, Network, Pointer, check
from .ensemble import Member, Members

_Doubles = ctypes.POINTER(ctypes.c_double)


class _Partition(ctypes.Structure):
    """`amgsrn_partition` of native/amgsrn_kernels.h."""

    _fields_ = (
        ("bricks", ctypes.c_int32 * 3),
        ("starts", _Doubles * 3),
        ("widths", ctypes.c_double * 3),
        ("scales", _Doubles * 3),
        ("shifts", _Doubles * 3),
    )


class _Brick(ctypes.Structure):
    """`amgsrn_brick` of native/amgsrn_kernels.h."""

    _fields_ = (
        ("network", ctypes.POINTER(Network)),
        ("fast", Pointer),
        ("scale", Pointer),
        ("shift", Pointer),
    )


class _Prepared:
    """A member as the kernels want it: its network laid out, and what it needs for fast evaluation."""

    def __init__(self, library: ctypes.CDLL, member: Member) -> None:
        self._library = library
        self._layout: Layout | None = None
        self._fast: int | None = None
        self._fast_made = False
        self._scale, self._shift = member.scale.contiguous(), member.shift.contiguous()
        if member.network is not None:
            transforms, grids, weights, biases = member.network
            self._layout = Layout(transforms, grids, weights, biases or ())
            # The member's features are a view of the layout's from now on, so that they are in memory once.
            view = self._layout.features[:, 1:-1, 1:-1, 1:-1].movedim(-1, 1)
            member.network = (transforms, view, weights, biases)

    def brick(self, fast: bool) -> _Brick:
        """The structure that points to all of it."""
        brick = _Brick(None, None, self._scale.data_ptr(), self._shift.data_ptr())
        if self._layout is not None:
            brick.network = ctypes.pointer(self._layout.structure)
            brick.fast = self._fast_weights() if fast else None
        return brick

    def _fast_weights(self) -> int | None:
        if not self._fast_made and self._layout is not None:
            self._library.amgsrn_make_fast.restype = Pointer
            self._fast = self._library.amgsrn_make_fast(ctypes.byref(self._layout.structure))
            self._fast_made = True
            if self._fast is not None:
                weakref.finalize(self, self._library.amgsrn_free_fast, Pointer(self._fast))
        return self._fast


def _prepare(library: ctypes.CDLL, member: Member | None) -> _Prepared | None:
    if member is not None and not isinstance(member.prepared, _Prepared):
        member.prepared = _Prepared(library, member)
    return None if member is None else member.prepared  # type: ignore[return-value]


class Evaluator:
    """An `EnsembleEvaluator` whose members are all float32 and on the CPU."""

    def __init__(self, library: ctypes.CDLL, partition: Partition, members: Members, outputs: int) -> None:
        self._library, self._outputs, self._count = library, outputs, partition.count
        self._prepared = [_prepare(library, member) for member in members]
        self._bricks: dict[bool, ctypes.Array[_Brick]] = {}
        self._numbers: list[ctypes.Array[ctypes.c_double]] = []
        self._partition = _Partition((ctypes.c_int32 * 3)(*partition.bricks))
        for axis in range(3):
            scales, shifts = zip(*partition.axis_maps(axis), strict=True)
            self._partition.starts[axis] = self._array(partition.blend_starts(axis))
            self._partition.widths[axis] = partition.blend_width(axis)
            self._partition.scales[axis], self._partition.shifts[axis] = self._array(scales), self._array(shifts)

    def __call__(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        values = torch.empty(len(points), self._outputs)
        self._infer(points, fast, values, None)
        return values

    def partial(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        sums = torch.empty(len(points), self._outputs, dtype=torch.float64)
        self._infer(points, fast, None, sums)
        return sums

    def value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.empty(len(points), self._outputs)
        gradients = torch.empty(len(points), self._outputs, 3)
        self._differentiate(points, values, gradients, None)
        return values, gradients

    def partial_value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sums = torch.empty(len(points), self._outputs, 4, dtype=torch.float64)
        self._differentiate(points, None, None, sums)
        return sums[..., 0], sums[..., 1:]

    def touched(self, points: torch.Tensor) -> list[int]:
        points = points.detach().contiguous()
        marks = (ctypes.c_uint8 * self._count)()
        failed = self._library.amgsrn_ensemble_touched(
            ctypes.byref(self._partition),
            Pointer(points.data_ptr()),
            ctypes.c_int64(len(points)),
            marks,
            ctypes.c_int32(thread_count()),
        )
        check(failed)
        return [brick for brick, mark in enumerate(marks) if mark]

    def _infer(self, points: torch.Tensor, fast: bool, values: torch.Tensor | None, sums: torch.Tensor | None) -> None:
        points = points.detach().contiguous()
        failed = self._library.amgsrn_infer_ensemble(
            ctypes.byref(self._partition),
            self._bricks_for(fast),
            ctypes.c_int32(self._outputs),
            Pointer(points.data_ptr()),
            ctypes.c_int64(len(points)),
            _pointer(values),
            _pointer(sums),
            ctypes.c_int32(thread_count()),
        )
        check(failed)

    def _differentiate(
        self,
        points: torch.Tensor,
        values: torch.Tensor | None,
        gradients: torch.Tensor | None,
        sums: torch.Tensor | None,
    ) -> None:
        points = points.detach().contiguous()
        failed = self._library.amgsrn_ensemble_value_gradient(
            ctypes.byref(self._partition),
            self._bricks_for(False),
            ctypes.c_int32(self._outputs),
            Pointer(points.data_ptr()),
            ctypes.c_int64(len(points)),
            _pointer(values),
            _pointer(gradients),
            _pointer(sums),
            ctypes.c_int32(thread_count()),
        )
        check(failed)

    def _bricks_for(self, fast: bool) -> ctypes.Array[_Brick]:
        if fast not in self._bricks:
            nothing = _Brick()
            bricks = [nothing if prepared is None else prepared.brick(fast) for prepared in self._prepared]
            self._bricks[fast] = (_Brick * self._count)(*bricks)
        return self._bricks[fast]

    def _array(self, numbers: Sequence[float]) -> ctypes.Array[ctypes.c_double]:
        array = (ctypes.c_double * len(numbers))(*numbers)
        self._numbers.append(array)  # the structure only points to it
        return array


def _pointer(tensor: torch.Tensor | None) -> Pointer:
    return Pointer(None if tensor is None else tensor.data_ptr())
