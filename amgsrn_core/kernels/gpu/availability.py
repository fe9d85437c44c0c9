# SPDX-License-Identifier: BSD-3-Clause
"""Whether the GPU kernels work here. Importing this does not import Triton, asking does."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

# What Triton's matrix products need; older GPUs have PyTorch alone.
_OLDEST = (7, 5)


@cache
def load() -> tuple[ModuleType | None, str]:
    """The module `ops`, or None, and in words what is used and why."""
    try:
        import triton
    except ImportError as error:
        return None, f"Triton cannot be imported: {error}"
    try:
        from . import ops
    except Exception as error:  # whatever a version of Triton that is too old or too new raises
        return None, f"Triton {triton.__version__} does not know the kernels: {_first_line(error)}"
    return ops, f"Triton {triton.__version__}"


@cache
def state(device_type: str) -> tuple[bool, str]:
    """Whether the kernels work on devices of a type ('cpu', 'cuda'), and in words why or why not."""
    if device_type == "cuda":
        if not torch.cuda.is_available():
            return False, "there is no GPU"
        if torch.version.hip is None and torch.cuda.get_device_capability() < _OLDEST:
            return False, f"{torch.cuda.get_device_name()} is older than compute capability {_OLDEST[0]}.{_OLDEST[1]}"
    operators, reason = load()
    if operators is None:
        return False, reason
    if device_type == "cpu" and not _interpreted():
        return False, "Triton needs a GPU (or its interpreter: TRITON_INTERPRET=1)"
    if device_type not in ("cpu", "cuda"):
        return False, f"there are no Triton kernels for {device_type}"
    try:
        # Triton compiles at first use; what that lacks (a C compiler, say) shows now rather than in the midst of a fit.
        operators.density(torch.zeros(1, 3, device=device_type), torch.eye(4, device=device_type)[None])
    except Exception as error:
        return False, f"{reason} fails: {_first_line(error)}"
    where = "its interpreter" if _interpreted() else torch.cuda.get_device_name()
    return True, f"{reason} on {where}"


def _interpreted() -> bool:
    from .launch import INTERPRETED

    return INTERPRETED


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
