# SPDX-License-Identifier: BSD-3-Clause
"""Training with the compiled CPU kernels: a step is one call, and parameters stay in the kernels' own layout."""

from __future__ import annotations

import ctypes

import torch

from ..threads import thread_count
from .cpu import MAX_LAYERS, Network, Pointer, check
from .fitting import AdamSettings, FitState, Learned, Rates

_FORMS = {"matrix": 0, "srt": 1}


class _LearnedArray(ctypes.Structure):
    """`amgsrn_learned` of native/amgsrn_kernels.h."""

    _fields_ = (
        ("values", Pointer),
        ("gradients", Pointer),
        ("first_moments", Pointer),
        ("second_moments", Pointer),
        ("count", ctypes.c_int64),
    )


class _Placement(ctypes.Structure):
    """`amgsrn_placement`."""

    _fields_ = (("form", ctypes.c_int32), ("learned", _LearnedArray * 3))


class _Fit(ctypes.Structure):
    """`amgsrn_fit`."""

    _fields_ = (
        ("network", Network),
        ("placement", _Placement),
        ("features", _LearnedArray),
        ("weights", _LearnedArray * MAX_LAYERS),
        ("biases", _LearnedArray * MAX_LAYERS),
    )


class _Adam(ctypes.Structure):
    """`amgsrn_adam`."""

    _fields_ = (
        ("beta1", ctypes.c_double),
        ("beta2", ctypes.c_double),
        ("epsilon", ctypes.c_double),
        ("step", ctypes.c_int64),
        ("feature_rate", ctypes.c_float),
        ("mlp_rate", ctypes.c_float),
        ("placement_rate", ctypes.c_float),
    )


class _Trained:
    """A parameter in memory that the kernels work on, with its gradient and moments; `views` have its own shape."""

    def __init__(self, parameter: torch.Tensor, padded: bool) -> None:
        source = parameter.detach()
        if padded:
            # Channels last, and a ring of zeros around each grid.
            source = torch.nn.functional.pad(source.movedim(1, -1), (0, 0, 1, 1, 1, 1, 1, 1))
        self._values = source.contiguous().clone()
        self._gradients, self._first, self._second = (torch.zeros_like(self._values) for _ in range(3))
        parameter.data = self._view(self._values, padded)
        self.moments = {
            "exp_avg": self._view(self._first, padded),
            "exp_avg_sq": self._view(self._second, padded),
        }
        arrays = (self._values, self._gradients, self._first, self._second)
        self.structure = _LearnedArray(*(array.data_ptr() for array in arrays), self._values.numel())

    @staticmethod
    def _view(tensor: torch.Tensor, padded: bool) -> torch.Tensor:
        return tensor[:, 1:-1, 1:-1, 1:-1].movedim(-1, 1) if padded else tensor


class CpuFit(FitState):
    """`fitting.TorchFit` in compiled code.

    The parameters' memory becomes that of the kernels: from then on they are views of it, and must not be given other
    memory.

    Args:
        library: from `cpu.load`.
        learned: the parameters, float32 on the CPU.
        adam: settings.
        fast: factors in the MLP's inner layers and gradients are bfloat16 where the processor can; features, first and
            last layer, and all sums stay float32.
    """

    def __init__(self, library: ctypes.CDLL, learned: Learned, adam: AdamSettings, fast: bool = True) -> None:
        self._library, self._learned, self._fast = library, learned, fast
        self._trained = {id(p): _Trained(p, padded=p is learned.grids) for p in learned.all()}
        grids, weights = learned.grids, learned.weights
        self._fit = _Fit(Network(len(grids), grids.shape[1], *grids.shape[2:], len(weights)))
        for i, weight in enumerate(weights):
            self._fit.network.outputs[i] = len(weight)
            self._fit.weights[i] = self._structure(weight)
        for i, bias in enumerate(learned.biases or ()):
            self._fit.biases[i] = self._structure(bias)
        self._fit.features = self._structure(grids)
        self._fit.placement.form = _FORMS[learned.form]
        for i, parameter in enumerate(learned.placement):
            self._fit.placement.learned[i] = self._structure(parameter)
        self._adam = _Adam(*adam.betas, adam.eps)
        # A count per parameter: each is stored, and may be restored, by itself.
        self._steps = torch.zeros(len(self._trained))
        library.amgsrn_fit_step.argtypes = [
            ctypes.POINTER(_Fit),
            Pointer,
            ctypes.c_int64,
            Pointer,
            ctypes.POINTER(_Adam),
            ctypes.POINTER(ctypes.c_double),
            ctypes.c_int32,
            ctypes.c_int32,
        ]

    def _structure(self, parameter: torch.Tensor) -> _LearnedArray:
        return self._trained[id(parameter)].structure

    def step(self, points: torch.Tensor, targets: torch.Tensor, rates: Rates) -> torch.Tensor:
        points, targets = points.contiguous(), targets.contiguous()
        self._adam.step = int(self._steps[0]) + 1
        self._adam.feature_rate, self._adam.mlp_rate = rates.features, rates.mlp
        self._adam.placement_rate = rates.placement
        loss = ctypes.c_double()
        failed = self._library.amgsrn_fit_step(
            ctypes.byref(self._fit),
            points.data_ptr(),
            len(points),
            targets.data_ptr(),
            ctypes.byref(self._adam),
            ctypes.byref(loss),
            self._fast,
            thread_count(),
        )
        check(failed)
        self._steps += 1
        return torch.tensor(loss.value)

    def moments(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        return {**self._trained[id(parameter)].moments, "step": self._steps[list(self._trained).index(id(parameter))]}
