# SPDX-License-Identifier: BSD-3-Clause
"""What bricks cost and gain: one volume by one network, and by 2 x 2 x 2 bricks with the same number of parameters in
all, whose networks reach into each other by so many nodes (`ghost`; 0: the paper's way, without blending).

`jump` is how much the field changes over a thousandth of a node across the faces of bricks, root mean square, in units of
the value range; `inside` the same across planes in the middle of bricks. `step` is the change from one node to the next
across faces, `step data` the data's own there, `step inside` the change across planes in the middle of bricks, mean
absolute values. CPU seconds are those of all processes, reading and measuring
included."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amgsrn_core import Field, open_field
from amgsrn_core.models.ensemble import EnsembleField
from trainer.volumes import Volume

from .volumes import path_of, volume_of

_VOLUME = "richtmyer_meshkov_t0020.nc"
# Optimiser steps and samples per step of each brick's network, and of one network.
_BRICK = ("--steps", 15_000, "--batch", 2048)
_ONE = (
    ("one network, as many steps", ("--steps", 15_000, "--batch", 4096)),
    ("one network, as much time", ("--steps", 40_000, "--batch", 4096)),
)
_GHOSTS = (0, 2)
_POINTS = 20_000
# Nodes by which points are away from a face.
_NEAR = 5e-4


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per way to fit the volume.

    Raises:
        SystemExit: the volume is not there, or a fit failed.
    """
    volume = volume_of(_VOLUME)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        parameters = 0
        for ghost in _GHOSTS:
            model = Path(folder) / f"ghost{ghost}.amgsrn"
            result = _fit(model, device, "--bricks", "2,2,2", "--ghost", ghost, "--workers", 1, *_BRICK)
            parameters = result["parameters"]
            rows.append(_row(f"8 bricks, ghost {ghost}", result, model, volume))
        # In half precision, with what a file has besides features: about as many parameters as all bricks.
        size = ["--target-size", 2 * parameters + 40_000, "--bricks", "1,1,1"]
        for name, training in _ONE:
            model = Path(folder) / "one.amgsrn"
            result = _fit(model, device, *size, *training, "--overwrite")
            rows.append(_row(name, result, model, volume))
    return rows


def _fit(model: Path, device: torch.device, *options: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "trainer", "fit", path_of(_VOLUME), "-o", model, "--device", device, "--json"]
    done = subprocess.run([str(word) for word in (*command, *options)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the fit ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    command = [sys.executable, "-m", "trainer", "evaluate", model, path_of(_VOLUME), "--json"]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
    return {**result, "psnr_db": json.loads(done.stdout)["psnr_db"]}


def _row(name: str, result: dict[str, Any], model: Path, volume: Volume) -> dict[str, Any]:
    field = open_field(model, "cpu")
    low, high = volume.ranges[0]
    # Where one network has no face, what would be one.
    faces = [(n - 1) / 2 for n in volume.shape[::-1]]
    if isinstance(field, EnsembleField):
        faces = [edges[1] for edges in field.partition.edges]
    quarter = [(n - 1) / 4 for n in volume.shape[::-1]]
    truth = volume.values[..., 0]
    return {
        "fit": name,
        "dB": result["psnr_db"],
        "parameters": result["parameters"],
        "CPU s": result["cpu_seconds"],
        "jump": _rms(field, faces, 2 * _NEAR) / (high - low),
        "inside": _rms(field, quarter, 2 * _NEAR) / (high - low),
        "step": _mean_step(field, faces) / (high - low),
        "step data": _data_step(truth, faces) / (high - low),
        "step inside": _mean_step(field, quarter) / (high - low),
    }


def _across(field: Field, plane: list[float], distance: float) -> np.ndarray:
    """Changes of a field over a distance in nodes across the three planes at positions in nodes."""
    random = np.random.default_rng(0)
    changes = []
    for axis in range(3):
        index = random.random((_POINTS, 3)) * (np.array(field.domain.dimensions) - 1)
        sides = []
        for side in (-0.5, 0.5):
            index[:, axis] = plane[axis] + side * distance
            points = 2.0 * index / (np.array(field.domain.dimensions) - 1) - 1.0
            sides.append(field.sample(torch.from_numpy(points.astype(np.float32)))[:, 0].double().numpy())
        changes.append(sides[1] - sides[0])
    return np.concatenate(changes)


def _rms(field: Field, plane: list[float], distance: float) -> float:
    return float(np.sqrt(np.square(_across(field, plane, distance)).mean()))


def _mean_step(field: Field, plane: list[float]) -> float:
    return float(np.abs(_across(field, plane, 1.0)).mean())


def _data_step(values: np.ndarray, faces: list[float]) -> float:
    """Mean change of the data over one node about the faces, at all nodes."""
    changes = []
    for axis, face in enumerate(faces):
        along = np.moveaxis(values, 2 - axis, 0)
        lower, upper = (_interpolated(along, face + side) for side in (-0.5, 0.5))
        changes.append(np.abs(upper - lower).mean())
    return float(np.mean(changes))


def _interpolated(planes: np.ndarray, position: float) -> np.ndarray:
    first = int(position)
    return planes[first] + (position - first) * (planes[first + 1] - planes[first])
