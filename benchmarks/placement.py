# SPDX-License-Identifier: BSD-3-Clause
"""What placing the grids gains: PSNR in dB of the small network after 2000 steps, mean and spread of three seeds. `auto` chooses by
itself; its gain is over identity, and its distance from the better of identity and data is what it cost not to know."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from trainer.fit import FitOptions, fit_volume
from trainer.settings import FitSettings
from trainer.volumes import Volume

from .volumes import volumes

_STEPS, _SEEDS = 2000, (0, 1, 2)


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per volume."""
    return [_row(name, volume, device) for name, volume in volumes()]


def _row(name: str, volume: Volume, device: torch.device) -> dict[str, Any]:
    results: dict[str, list[float]] = {}
    promised = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for method in ("identity", "data", "auto"):
            for seed in _SEEDS:
                settings = FitSettings.of(steps=_STEPS, seed=seed, placement=method)
                options = FitOptions(device, quiet=True, say=lambda message: None)
                training = fit_volume(volume, Path(folder) / f"{method}{seed}.amgsrn", settings, options).training
                results.setdefault(method, []).append(training["psnr_db"])
                promised = training["placement"]["predicted_gain_db"] or promised
    means = {method: sum(values) / len(values) for method, values in results.items()}
    return {
        "volume": name,
        "promised dB": promised,
        **{method: _mean_and_spread(values) for method, values in results.items()},
        "auto - identity": f"{means['auto'] - means['identity']:+.2f}",
        "auto - better": f"{means['auto'] - max(means['identity'], means['data']):+.2f}",
    }


def _mean_and_spread(values: list[float]) -> str:
    return f"{sum(values) / len(values):.2f} ± {(max(values) - min(values)) / 2:.2f}"
