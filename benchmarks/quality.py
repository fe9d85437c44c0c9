# SPDX-License-Identifier: BSD-3-Clause
"""Quality by CPU time on one core: whole fits of the small network with the default recipe, from a few hundred steps to
30 CPU seconds, seed 0. Time includes drawing samples and placing grids, not reading the file or measuring. `as authors` is
the shortest of these fits that reaches what the authors reach after 500 iterations (see authors.md, measured on the same
machine), and how many times less CPU time it took."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from amgsrn_core import ArrayInfo
from amgsrn_core.models import AMGSRN, AMGSRNField
from trainer.fit import FitOptions, fit_volume
from trainer.metrics import measure
from trainer.presets import PRESETS
from trainer.settings import FitSettings
from trainer.threads import training_threads
from trainer.volumes import Volume

from .volumes import volumes

# CPU seconds aimed at; the number of steps for each follows from the speed of a short fit.
_BUDGETS = (0.5, 1, 2, 4, 8, 30)
_PROBE_STEPS = 300
AUTHORS = Path(__file__).parent / "results" / "cpu" / "authors.json"


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per volume.

    Raises:
        SystemExit: the authors' figures have not been measured yet.
    """
    if not AUTHORS.exists():
        raise SystemExit(f"'{AUTHORS}' is missing: run python -m benchmarks authors first")
    theirs = {row["volume"]: row for row in json.loads(AUTHORS.read_text())["rows"]}
    return [_row(name, volume, theirs.get(name), device) for name, volume in volumes()]


def _row(name: str, volume: Volume, theirs: dict[str, Any] | None, device: torch.device) -> dict[str, Any]:
    measuring = _measuring_seconds(volume, device)
    fixed = _fit(volume, 1, device)[1] - measuring
    per_step = (_fit(volume, _PROBE_STEPS, device)[1] - measuring - fixed) / _PROBE_STEPS
    row: dict[str, Any] = {"volume": name}
    reached = None
    for budget in _BUDGETS:
        steps = max(50, round((budget - fixed) / per_step))
        psnr, seconds = _fit(volume, steps, device)
        seconds -= measuring
        row[f"dB @{budget:g} s"], row[f"CPU s @{budget:g} s"] = psnr, seconds
        if theirs is not None and reached is None and psnr >= theirs["dB @500"]:
            reached = seconds
    if theirs is not None:
        row["authors @500"] = f"{theirs['dB @500']:.2f} dB in {theirs['CPU s @500']:.0f} s"
        row["as authors"] = (
            "not reached" if reached is None else f"{reached:.1f} s: {theirs['CPU s @500'] / reached:.0f}x"
        )
    return row


def _fit(volume: Volume, steps: int, device: torch.device) -> tuple[float, float]:
    """PSNR, and CPU seconds of the fit, measuring included."""
    with tempfile.TemporaryDirectory() as folder:
        options = FitOptions(device, checkpoint_interval=1e9, quiet=True, say=lambda message: None)
        settings = FitSettings.of(steps=steps, precision="single")
        begin = time.process_time()
        training = fit_volume(volume, Path(folder) / "model.amgsrn", settings, options).training
        return training["psnr_db"], time.process_time() - begin


def _measuring_seconds(volume: Volume, device: torch.device) -> float:
    """CPU seconds that a fit spends on measuring the finished model."""
    settings = FitSettings.of()
    network = AMGSRN(PRESETS["small"].config(settings.transform)).to(device)
    field = AMGSRNField(network, volume.domain, ArrayInfo("", value_range=volume.ranges[0]))
    with training_threads(network.parameter_count(), device):
        begin = time.process_time()
        measure(field, volume)
        return time.process_time() - begin
