# SPDX-License-Identifier: BSD-3-Clause
"""The compiled CPU kernels (see native/), called through ctypes, so that one library serves every Python."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from ..threads import thread_count
from . import cpu_value_gradient, instruction_set

_LIBRARY = Path(__file__).with_name("amgsrn_kernels.so")
_INTERFACE_VERSION = 9
MAX_LAYERS = 8

Pointer = ctypes.c_void_p


class Network(ctypes.Structure):
    """`amgsrn_network` of native/amgsrn_kernels.h."""

    _fields_ = (
        ("grids", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("depth", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("layers", ctypes.c_int32),
        ("outputs", ctypes.c_int32 * MAX_LAYERS),
        ("transforms", Pointer),
        ("features", Pointer),
        ("weights", Pointer * MAX_LAYERS),
        ("biases", Pointer * MAX_LAYERS),
    )


class _Gradients(ctypes.Structure):
    """`amgsrn_gradients` of native/amgsrn_kernels.h."""

    _fields_ = (
        ("transforms", Pointer),
        ("features", Pointer),
        ("weights", Pointer * MAX_LAYERS),
        ("biases", Pointer * MAX_LAYERS),
    )


@cache
def load() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and in words what is used and why.

    Raises:
        KernelsUnavailable: AMGSRN_INSTRUCTION_SET asks for what this machine does not have.
    """
    if not _LIBRARY.exists():
        return None, f"not built (no {_LIBRARY.name}; 'make setup' builds it)"
    try:
        library = ctypes.CDLL(str(_LIBRARY))
        version = library.amgsrn_interface_version()
    except (OSError, AttributeError) as error:
        return None, f"cannot be loaded: {error}"
    if version != _INTERFACE_VERSION:
        return None, f"has interface version {version}, expected {_INTERFACE_VERSION}; run 'make setup' again"
    instruction_set.use_wanted(library)
    library.amgsrn_instruction_set.restype = ctypes.c_char_p
    network = ctypes.POINTER(Network)
    library.amgsrn_infer.argtypes = [network, Pointer, ctypes.c_int64, Pointer, ctypes.c_int32, ctypes.c_int32]
    gradients = ctypes.POINTER(_Gradients)
    library.amgsrn_backward.argtypes = [
        network,
        Pointer,
        ctypes.c_int64,
        Pointer,
        gradients,
        ctypes.c_int32,
        ctypes.c_int32,
    ]
    loss = ctypes.POINTER(ctypes.c_double)
    library.amgsrn_squared_error.argtypes = [
        *library.amgsrn_backward.argtypes[:-2],
        loss,
        ctypes.c_int32,
        ctypes.c_int32,
    ]
    bfloat16 = " with bfloat16" if library.amgsrn_has_bf16() else ""
    return library, f"instruction set {library.amgsrn_instruction_set().decode()}{bfloat16}"


def has_bfloat16() -> bool:
    """Whether `fast` evaluation and training gradients are computed in bfloat16 on this processor."""
    library, _ = load()
    return library is not None and bool(library.amgsrn_has_bf16())


def can_run(*tensors: torch.Tensor) -> bool:
    """Whether the kernels can work on these tensors: float32, on the CPU."""
    return all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


class Layout:
    """A network's parameters laid out as the kernels want them, and the structure that points to them."""

    def __init__(
        self,
        transforms: torch.Tensor,
        grids: torch.Tensor,
        weights: Sequence[torch.Tensor],
        biases: Sequence[torch.Tensor],
    ) -> None:
        self.transforms = transforms.detach()[:, :3].contiguous()
        # The ring of zeros makes features fade to zero outside a grid without a test per corner.
        ring = (0, 0, 1, 1, 1, 1, 1, 1)
        self.features = torch.nn.functional.pad(grids.detach().movedim(1, -1), ring).contiguous()
        self.weights = [w.detach().contiguous() for w in weights]
        self.biases = [b.detach().contiguous() for b in biases]
        self.structure = Network(len(grids), grids.shape[1], *grids.shape[2:], len(weights))
        self.structure.transforms, self.structure.features = self.transforms.data_ptr(), self.features.data_ptr()
        for i, weight in enumerate(self.weights):
            self.structure.outputs[i], self.structure.weights[i] = len(weight), weight.data_ptr()
        for i, bias in enumerate(self.biases):
            self.structure.biases[i] = bias.data_ptr()

    def infer(self, library: ctypes.CDLL, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        points = points.detach().contiguous()
        values = torch.empty(len(points), len(self.weights[-1]))
        failed = library.amgsrn_infer(
            ctypes.byref(self.structure), points.data_ptr(), len(points), values.data_ptr(), fast, thread_count()
        )
        check(failed)
        return values


def check(failed: int) -> None:
    """Raise MemoryError where a kernel says that it failed."""
    if failed:
        raise MemoryError("the CPU kernels ran out of memory")


class Evaluator:
    """A network ready for inference.

    Args:
        library: from `load`.
        transforms: float32 (m, 4, 4).
        grids: float32 (m, c, d, h, w).
        weights: float32, per layer (out, in).
        biases: float32, per layer (out,), or None.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        transforms: torch.Tensor,
        grids: torch.Tensor,
        weights: Sequence[torch.Tensor],
        biases: Sequence[torch.Tensor] | None = None,
    ) -> None:
        self._library = library
        self._layout = Layout(transforms, grids, weights, biases or ())

    def __call__(self, points: torch.Tensor, fast: bool = False) -> torch.Tensor:
        """(n, 3) float32 on the CPU -> (n, outputs) in units of the value range."""
        return self._layout.infer(self._library, points, fast)

    def value_and_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3) -> values (n, outputs) and gradients (n, outputs, 3), see `reference.value_and_gradient`."""
        outputs = len(self._layout.weights[-1])
        return cpu_value_gradient.value_and_gradient(self._library, self._layout.structure, outputs, points)


def forward(
    library: ctypes.CDLL,
    points: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """`reference.forward`, differentiable in the parameters but not in the points; tensors are float32 on the CPU."""
    return _Forward.apply(library, len(weights), points, transforms, grids, *weights, *(biases or ()))


def mean_squared_error(
    library: ctypes.CDLL,
    points: torch.Tensor,
    targets: torch.Tensor,
    transforms: torch.Tensor,
    grids: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """`reference.mean_squared_error`, differentiable in the parameters; tensors are float32 on the CPU."""
    return _MeanSquaredError.apply(library, len(weights), points, targets, transforms, grids, *weights, *(biases or ()))


class _GradientBuffers:
    """Zeros where the kernels add the gradients of a network's parameters."""

    def __init__(self, layout: Layout, wants_transforms: bool) -> None:
        self._features = torch.zeros_like(layout.features)
        self._mlp = [torch.zeros_like(t) for t in (*layout.weights, *layout.biases)]
        self._rows = torch.zeros_like(layout.transforms) if wants_transforms else None
        self.structure = _Gradients(None if self._rows is None else self._rows.data_ptr(), self._features.data_ptr())
        layers = len(layout.weights)
        for i, gradient in enumerate(self._mlp):
            (self.structure.weights if i < layers else self.structure.biases)[i % layers] = gradient.data_ptr()

    def results(self) -> tuple[torch.Tensor | None, ...]:
        """Gradients in the order and shapes of (transforms, grids, *weights, *biases)."""
        transforms = None
        if self._rows is not None:
            transforms = torch.nn.functional.pad(self._rows, (0, 0, 0, 1))
        grids = self._features[:, 1:-1, 1:-1, 1:-1].movedim(-1, 1).contiguous()
        return transforms, grids, *self._mlp


class _Forward(torch.autograd.Function):
    """Inference forward; backward recomputes it block by block, so that nothing per point is kept in between."""

    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        layers: int,
        points: torch.Tensor,
        transforms: torch.Tensor,
        grids: torch.Tensor,
        *mlp: torch.Tensor,
    ) -> torch.Tensor:
        ctx.library, ctx.layout = library, Layout(transforms, grids, mlp[:layers], mlp[layers:])
        ctx.save_for_backward(points)
        return ctx.layout.infer(library, points)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layout: Layout = ctx.layout
        points, slope = ctx.saved_tensors[0].contiguous(), slopes[0].contiguous()
        buffers = _GradientBuffers(layout, ctx.needs_input_grad[3])
        failed = ctx.library.amgsrn_backward(
            ctypes.byref(layout.structure),
            points.data_ptr(),
            len(points),
            slope.data_ptr(),
            ctypes.byref(buffers.structure),
            False,
            thread_count(),
        )
        check(failed)
        return None, None, None, *buffers.results()


class _MeanSquaredError(torch.autograd.Function):
    """Loss and gradients in one pass, forward; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        layers: int,
        points: torch.Tensor,
        targets: torch.Tensor,
        transforms: torch.Tensor,
        grids: torch.Tensor,
        *mlp: torch.Tensor,
    ) -> torch.Tensor:
        layout = Layout(transforms, grids, mlp[:layers], mlp[layers:])
        buffers = _GradientBuffers(layout, ctx.needs_input_grad[4])
        points, targets = points.contiguous(), targets.contiguous()
        loss = ctypes.c_double()
        failed = library.amgsrn_squared_error(
            ctypes.byref(layout.structure),
            points.data_ptr(),
            len(points),
            targets.data_ptr(),
            ctypes.byref(buffers.structure),
            ctypes.byref(loss),
            False,
            thread_count(),
        )
        check(failed)
        ctx.gradients = buffers.results()
        return torch.tensor(loss.value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled = [None if g is None else g.mul_(slopes[0]) for g in ctx.gradients]
        ctx.gradients = ()  # scaled in place: a second backward would scale twice
        return None, None, None, None, *scaled
