# SPDX-License-Identifier: BSD-3-Clause
"""The compiled CPU kernels (see native/), called through ctypes, so that one library serves every Python."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

_LIBRARY = Path(__file__).with_name("amgsrn_kernels.so")
_INTERFACE_VERSION = 1
_MAX_LAYERS = 8

_Pointer = ctypes.c_void_p


class _Network(ctypes.Structure):
    """`amgsrn_network` of native/amgsrn_kernels.h."""

    _fields_ = (
        ("grids", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("depth", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("layers", ctypes.c_int32),
        ("outputs", ctypes.c_int32 * _MAX_LAYERS),
        ("transforms", _Pointer),
        ("features", _Pointer),
        ("weights", _Pointer * _MAX_LAYERS),
        ("biases", _Pointer * _MAX_LAYERS),
    )


@cache
def load() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and in words what is used and why."""
    if not _LIBRARY.exists():
        return None, f"not built (no {_LIBRARY.name}; 'make setup' builds it)"
    try:
        library = ctypes.CDLL(str(_LIBRARY))
        version = library.amgsrn_interface_version()
    except (OSError, AttributeError) as error:
        return None, f"cannot be loaded: {error}"
    if version != _INTERFACE_VERSION:
        return None, f"has interface version {version}, expected {_INTERFACE_VERSION}; run 'make setup' again"
    library.amgsrn_instruction_set.restype = ctypes.c_char_p
    library.amgsrn_infer.argtypes = [ctypes.POINTER(_Network), _Pointer, ctypes.c_int64, _Pointer, ctypes.c_int32]
    return library, f"instruction set {library.amgsrn_instruction_set().decode()}"


class Evaluator:
    """A network ready for inference: parameters laid out as the kernels want them.

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
        self.outputs = len(weights[-1])
        # The ring of zeros makes features fade to zero outside a grid without a test per corner.
        padded = torch.nn.functional.pad(grids.detach().movedim(1, -1), (0, 0, 1, 1, 1, 1, 1, 1))
        self._tensors = [transforms.detach()[:, :3].contiguous(), padded.contiguous()]
        layers = [w.detach().contiguous() for w in weights], [b.detach().contiguous() for b in biases or ()]
        self._tensors += [*layers[0], *layers[1]]  # the structure holds bare pointers: keep what they point to
        m, c, d, h, w = grids.shape
        network = _Network(m, c, d, h, w, len(weights))
        network.transforms, network.features = (t.data_ptr() for t in self._tensors[:2])
        for i, weight in enumerate(layers[0]):
            network.outputs[i], network.weights[i] = len(weight), weight.data_ptr()
        for i, bias in enumerate(layers[1]):
            network.biases[i] = bias.data_ptr()
        self._network = network

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """(n, 3) float32 on the CPU -> (n, outputs) in units of the value range."""
        points = points.contiguous()
        values = torch.empty(len(points), self.outputs)
        failed = self._library.amgsrn_infer(
            ctypes.byref(self._network), points.data_ptr(), len(points), values.data_ptr(), torch.get_num_threads()
        )
        if failed:
            raise MemoryError("the CPU kernels ran out of memory")
        return values
