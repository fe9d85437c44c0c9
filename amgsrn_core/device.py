# SPDX-License-Identifier: BSD-3-Clause
"""Choosing the device a field is evaluated on."""

from __future__ import annotations

import torch

from .errors import DeviceUnavailable


def available_devices() -> list[str]:
    """Names that `select_device` accepts on this machine, 'auto' first."""
    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return names


def select_device(name: str = "auto") -> torch.device:
    """The device of that name; 'auto' takes the first GPU, or the CPU where there is none.

    Raises:
        DeviceUnavailable: no such device here; the message lists those there are.
    """
    names = available_devices()
    if name == "auto":
        return torch.device(names[2] if len(names) > 2 else "cpu")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in names:
        raise DeviceUnavailable(name, names)
    return torch.device(wanted)
