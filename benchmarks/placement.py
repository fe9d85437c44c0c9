# SPDX-License-Identifier: BSD-3-Clause
"""What placing grids from the data gains: PSNR of the small network after 2000 steps, mean and spread of three seeds.

Volumes are looked for in the folder AMGSRN_DATA names; those that are not there are left out.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from trainer.fit import FitOptions, fit_volume
from trainer.settings import FitSettings
from trainer.volumes import open_volume

_STEPS, _SEEDS = 2000, (0, 1, 2)
_VOLUMES = (
    ("cosmology_lcdm_density.nc", None, None),
    ("richtmyer_meshkov_t0020.nc", None, None),
    ("rayleigh_taylor_mixing.nc", None, -1),
    ("shock_cth_armor_impact.nc", "speed", None),
    ("shock_cth_armor_impact.nc", "pressure", None),
    ("ocean_levitus_annual.nc", "temperature", None),
    ("um_colpex_theta.nc", None, -1),
    ("combustor_curvilinear.nc", "density", None),
)


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per volume."""
    folder = Path(os.environ.get("AMGSRN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    rows = []
    for name, variable, time in _VOLUMES:
        if (folder / name).exists():
            rows.append(_row(folder / name, variable, time, device))
    if not rows:
        raise SystemExit(f"none of the benchmark's volumes is in '{folder}'; set AMGSRN_DATA")
    return rows


def _row(path: Path, variable: str | None, time: int | None, device: torch.device) -> dict[str, Any]:
    with open_volume(path) as reader:
        volume = reader.read(variable, time)
    results: dict[str, list[float]] = {}
    promised = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for method in ("identity", "data"):
            for seed in _SEEDS:
                settings = FitSettings.of(steps=_STEPS, seed=seed, placement=method)
                options = FitOptions(device, quiet=True, say=lambda message: None)
                training = fit_volume(volume, Path(folder) / f"{method}{seed}.amgsrn", settings, options).training
                results.setdefault(method, []).append(training["psnr_db"])
                promised = training["placement"]["predicted_gain_db"] or promised
    return {
        "volume": f"{path.stem} {variable or ''}".strip(),
        "promised dB": promised,
        "identity": _mean_and_spread(results["identity"]),
        "data": _mean_and_spread(results["data"]),
        "gain dB": f"{sum(results['data']) / len(_SEEDS) - sum(results['identity']) / len(_SEEDS):+.2f}",
    }


def _mean_and_spread(values: list[float]) -> str:
    return f"{sum(values) / len(values):.2f} ± {(max(values) - min(values)) / 2:.2f}"
