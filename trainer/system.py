# SPDX-License-Identifier: BSD-3-Clause
"""What this machine has that matters for training; for bug reports, and to see which kernels are used."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from amgsrn_core import __version__, kernels
from amgsrn_core.device import available_devices
from amgsrn_core.errors import AmgsrnError

_PACKAGES = ("torch", "triton", "numpy", "netCDF4", "safetensors", "rich")


def describe_system() -> dict[str, Any]:
    """JSON-ready."""
    cpu, cpu_reason = _kernels("cpu")
    cuda, cuda_reason = _kernels("cuda")
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": available_devices()[1:],
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_kernels": cpu,
        "cpu_kernels_reason": cpu_reason,
        "cuda_kernels": cuda,
        "cuda_kernels_reason": cuda_reason,
    }


def _kernels(device_type: str) -> tuple[str, str]:
    """The kernels that devices of a type would use, and why."""
    try:
        return kernels.chosen_backend(device_type)
    except AmgsrnError as error:
        return "none", str(error)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
