# SPDX-License-Identifier: BSD-3-Clause
"""Choosing several devices at once."""

from __future__ import annotations

import torch

from amgsrn_core.device import available_devices, select_device


def select_devices(names: str) -> tuple[torch.device, ...]:
    """Devices by their names, separated by commas; 'auto' takes all GPUs, or the CPU where there is none.

    Raises:
        DeviceUnavailable: no such device here; the message lists those there are.
    """
    if names == "auto":
        gpus = [name for name in available_devices() if name.startswith("cuda")]
        return tuple(torch.device(name) for name in gpus) or (torch.device("cpu"),)
    return tuple(select_device(name.strip()) for name in names.split(","))
