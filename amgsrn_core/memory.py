# SPDX-License-Identifier: BSD-3-Clause
"""How much memory a field may take whose parts are read when they are needed.

The environment variable AMGSRN_MEMORY sets it: bytes, or with a unit, as 500M or 4GiB. Else it is half of what is
available.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from .amounts import byte_count
from .errors import InvalidSetting

VARIABLE = "AMGSRN_MEMORY"
# Where the system does not tell: little enough for any machine that renders volumes.
_UNKNOWN = 2 << 30


def memory_limit(device: torch.device) -> int:
    """Bytes that parts of a field may take on a device, at least 1.

    Raises:
        InvalidSetting: AMGSRN_MEMORY is not an amount of memory.
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return max(1, (available_bytes(device) or 2 * _UNKNOWN) // 2)
    count = byte_count(wanted)
    if count is None:
        raise InvalidSetting(VARIABLE, wanted, "write bytes, or as 500M or 4GiB")
    return count


def available_bytes(device: torch.device) -> int | None:
    """Memory that can still be allocated on a device (on the CPU without swapping), None where the system does not
    tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    known = [amount for amount in (_of_machine(), _of_control_group()) if amount is not None]
    return min(known) if known else None


def _of_machine() -> int | None:
    amounts = _numbers(Path("/proc/meminfo"))
    return amounts["MemAvailable:"] << 10 if "MemAvailable:" in amounts else None


def _of_control_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a batch system or a container leaves; None where it sets no limit."""
    try:
        most, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # "max" is no limit
        return None
    # Pages of files that were read count as used, but give way.
    return max(0, most - used + _numbers(folder / "memory.stat").get("inactive_file", 0))


def _numbers(path: Path) -> dict[str, int]:
    """The first number of each line, by the line's first word."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
