# SPDX-License-Identifier: BSD-3-Clause
"""What tests of ensembles share: a small volume with all that may be special about bricks, and models compared."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import netCDF4
import numpy as np
import psutil
import safetensors.torch
import torch

BRICKS = "2,2,1"
SETTINGS = ("--bricks", BRICKS, "--ghost", 1, "--workers", 2, "--steps", 60, "--batch", 2000)


def write_volume(path: Path) -> Path:
    """A file of 40 x 30 x 20 nodes in chunks of 8: of its 2 x 2 x 1 bricks the last is constant."""
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in (20, 30, 40)), indexing="ij")
    values = (np.sin(9 * x + 4 * y) * np.cos(5 * z) + 0.5 * y * z).astype(np.float32)
    values[:, 13:, 17:] = 0.25
    with netCDF4.Dataset(str(path), "w") as file:
        for name, count in zip("zyx", values.shape, strict=True):
            file.createDimension(name, count)
        variable = file.createVariable("density", "f4", ("z", "y", "x"), chunksizes=(8, 8, 8))
        variable.units = "kg m-3"
        variable[:] = values
    return path


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a model file."""
    return safetensors.torch.load(path.read_bytes())


def header_of(path: Path) -> dict:
    """The JSON in a model file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["amgsrn"])


def same(a: Path, b: Path) -> bool:
    """Whether two models have the same tensors, to the bit."""
    first, second = tensors_of(a), tensors_of(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def workers_of(process: int) -> list[psutil.Process]:
    """The worker processes of a run."""
    try:
        return [p for p in psutil.Process(process).children() if "trainer.ensemble.worker" in p.cmdline()]
    except psutil.Error:
        return []


def wait_for(condition, process, seconds: float = 240.0):
    """What a condition gives as soon as that is true, while a process runs."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return found
