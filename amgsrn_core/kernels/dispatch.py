# SPDX-License-Identifier: BSD-3-Clause
"""Which back end works on a network: compiled C++ on the CPU, Triton on GPUs, else the reference.

The environment variable AMGSRN_KERNELS forces one: `reference`, `cpu`, `triton`, or `auto` (the default).
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Protocol

import torch

from ..errors import KernelsUnavailable
from ..partition import Partition
from . import cpu, cpu_density, cpu_ensemble, reference, reference_ensemble
from .cpu_fit import CpuFit
from .ensemble import EnsembleEvaluator, Members
from .fitting import AdamSettings, FitState, Learned, TorchFit
from .gpu import availability as gpu

# Points per call of the reference: enough to keep the cores busy, few enough to bound its (m, n, 3) intermediate.
_REFERENCE_BATCH = 1 << 15
_CHOICES = ("auto", "reference", "cpu", "triton")


class Evaluator(Protocol):
    """A network ready for inference, in bounded memory."""

    def __call__(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        """Values (n, outputs) at float32 points (n, 3), in units of the value range. `fast` allows the MLP to work in
        half precision where that saves time: right to some thousandths of the range, enough for pictures."""

    def value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The values, and their gradients (n, outputs, 3) per unit of x, y, z."""


def evaluator(
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> Evaluator:
    """What evaluates a network as it is now.

    Args:
        transforms: (m, 4, 4).
        grids: (m, c, d, h, w).
        weights, biases: of the MLP, see `reference.mlp`.

    Raises:
        KernelsUnavailable: AMGSRN_KERNELS asks for a back end that is not there or does not exist.
    """
    backend, _ = chosen_backend(grids.device.type)
    placement, features = transforms.detach().clone(), grids.detach().clone()
    layers = [w.detach().clone() for w in weights]
    shifts = None if biases is None else [b.detach().clone() for b in biases]
    if backend == "cpu":
        library, _ = cpu.load()
        assert library is not None
        return cpu.Evaluator(library, placement, features, layers, shifts)
    operators = _triton(placement, features, *layers, *(shifts or ()), mlp=layers)
    if operators is not None:
        return operators.Evaluator(placement, features, layers, shifts)
    return _ReferenceEvaluator(placement, features, layers, shifts)


def ensemble_evaluator(partition: Partition, members: Members) -> EnsembleEvaluator:
    """What evaluates a network per brick of a partition, one call for points of all bricks.

    Args:
        partition: the bricks.
        members: one per brick, at least one of them not None, all on one device and with the same number of outputs.

    Raises:
        KernelsUnavailable: see `evaluator`.
    """
    present = [member for member in members if member is not None]
    outputs, device = present[0].outputs, present[0].device
    if chosen_backend(device.type)[0] == "cpu" and all(cpu.can_run(*member.tensors()) for member in present):
        library, _ = cpu.load()
        assert library is not None
        return cpu_ensemble.Evaluator(library, partition, members, outputs)
    if chosen_backend(device.type)[0] == "triton":
        from .gpu import ensemble_evaluator as gpu_ensemble

        if gpu_ensemble.can_run(present):
            return gpu_ensemble.Evaluator(partition, members, outputs)
    return reference_ensemble.Evaluator(partition, members, outputs, _REFERENCE_BATCH)


def forward(
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """The whole network, differentiable; see `reference.forward`. On the CPU gradients for the points come from the
    reference.

    Raises:
        KernelsUnavailable: see `evaluator`.
    """
    library = None if points.requires_grad else _cpu_library(points, transforms, grids, *weights, *(biases or ()))
    if library is not None:
        return cpu.forward(library, points, transforms, grids, weights, biases)
    operators = _triton(points, grids, transforms, *weights, *(biases or ()), mlp=weights)
    if operators is not None:
        return operators.forward(points, transforms, grids, weights, biases)
    return reference.forward(points, transforms, grids, weights, biases)


def mean_squared_error(
    points: torch.Tensor,
    targets: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """The reconstruction loss, differentiable once in the parameters; see `reference.mean_squared_error`.

    Raises:
        KernelsUnavailable: see `evaluator`.
    """
    library = _cpu_library(points, targets, transforms, grids, *weights, *(biases or ()))
    if library is not None and len(points):
        return cpu.mean_squared_error(library, points, targets, transforms, grids, weights, biases)
    operators = _triton(points, grids, targets, transforms, *weights, *(biases or ()), mlp=weights)
    if operators is not None and len(points):
        if points.requires_grad or targets.requires_grad:
            values = operators.forward(points, transforms, grids, weights, biases)
            return (values - targets).square().mean()
        return operators.mean_squared_error(points, targets, transforms, grids, weights, biases)
    return reference.mean_squared_error(points, targets, transforms, grids, weights, biases)


def density(points: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
    """Feature density, differentiable; see `reference.density`. Gradients for the points come from the reference.

    Raises:
        KernelsUnavailable: see `evaluator`.
    """
    library = None if points.requires_grad else _cpu_library(points, transforms)
    if library is not None:
        return cpu_density.density(library, points, transforms)
    operators = None if points.requires_grad else _triton(points, None, transforms)
    if operators is not None:
        return operators.density(points, transforms)
    return reference.density(points, transforms)


def fit_state(learned: Learned, adam: AdamSettings | None = None) -> FitState:
    """What trains a network, step by step; see `fitting.FitState`. The parameters are changed in place, and may get
    other memory now.

    Raises:
        KernelsUnavailable: see `evaluator`.
    """
    settings = adam or AdamSettings()
    library = _cpu_library(*learned.all())
    if library is not None:
        return CpuFit(library, learned, settings)
    return TorchFit(learned, settings, mean_squared_error)


def _cpu_library(*tensors: torch.Tensor) -> ctypes.CDLL | None:
    """The compiled kernels if they are to work on these tensors."""
    if chosen_backend(tensors[0].device.type)[0] != "cpu" or not cpu.can_run(*tensors):
        return None
    return cpu.load()[0]


def _triton(
    tensor: torch.Tensor, grids: torch.Tensor | None, *others: torch.Tensor, mlp: Sequence[torch.Tensor] = ()
) -> ModuleType | None:
    """The GPU kernels if they are to work on these tensors and on this MLP."""
    if chosen_backend(tensor.device.type)[0] != "triton":
        return None
    from .gpu import launch, ops

    return ops if launch.can_run(tensor, grids, *others) and launch.fits(mlp) else None


def chosen_backend(device_type: str) -> tuple[str, str]:
    """The back end in use for a device type ('cpu', 'cuda'), and why, in words.

    Raises:
        KernelsUnavailable: see `evaluator`.
    """
    wanted = os.environ.get("AMGSRN_KERNELS", "auto")
    if wanted not in _CHOICES:
        raise KernelsUnavailable(wanted, f"choose one of: {', '.join(_CHOICES)}")
    if wanted == "reference":
        return "reference", "AMGSRN_KERNELS=reference"
    if wanted == "triton" and device_type == "cpu" and not gpu.state("cpu")[0] and gpu.state("cuda")[0]:
        wanted = "auto"  # for what is done on the CPU beside the GPU's work: sampling the volume, say
    if wanted == "triton" or (wanted == "auto" and device_type == "cuda"):
        return _triton_backend(wanted, device_type)
    library, state = cpu.load()
    if device_type == "cpu":
        if library is not None:
            return "cpu", state
        if wanted == "cpu":
            raise KernelsUnavailable(wanted, state)
        _say_once(f"the fast CPU kernels are not used: {state}; evaluating with PyTorch, several times slower")
        return "reference", state
    return "reference", f"PyTorch on {device_type}"


def _triton_backend(wanted: str, device_type: str) -> tuple[str, str]:
    """Triton if it works on a device type; unless it is forced, the reference takes its place."""
    works, state = gpu.state(device_type)
    if works:
        return "triton", state
    if wanted == "triton":
        raise KernelsUnavailable(wanted, state)
    if torch.cuda.is_available():
        _say_once(f"the fast GPU kernels are not used: {state}; evaluating with PyTorch, several times slower")
    return "reference", f"PyTorch on {device_type}: {state}"


@cache
def _say_once(message: str) -> None:
    logging.getLogger("amgsrn_core").warning(message)


class _ReferenceEvaluator:
    def __init__(
        self,
        transforms: torch.Tensor,
        grids: torch.Tensor,
        weights: list[torch.Tensor],
        biases: list[torch.Tensor] | None,
    ) -> None:
        self._network = (transforms, grids, weights, biases)

    @torch.inference_mode()
    def __call__(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        del fast  # there is nothing to be saved
        parts = [reference.forward(batch, *self._network) for batch in points.split(_REFERENCE_BATCH)]
        return torch.cat(parts)

    def value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [reference.value_and_gradient(batch, *self._network) for batch in points.split(_REFERENCE_BATCH)]
        values, gradients = zip(*parts, strict=True)
        return torch.cat(values), torch.cat(gradients)
