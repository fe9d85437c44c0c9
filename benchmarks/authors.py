# SPDX-License-Identifier: BSD-3-Clause
"""What the paper's authors reach on one core: their schedule (batches of 100 000 points) and their formulation in PyTorch, the
small network, seed 0. PSNR and CPU seconds after 100, 250 and 500 iterations; the time to draw samples and to measure is
left out."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from amgsrn_core import ArrayInfo
from amgsrn_core.models import AMGSRN, AMGSRNField
from amgsrn_core.threads import one_torch_thread
from trainer.metrics import measure
from trainer.optimisers import make_optimiser
from trainer.presets import PRESETS
from trainer.sampling import UniformSampler
from trainer.settings import FitSettings
from trainer.volumes import Volume

from .volumes import volumes

_MEASURED_AFTER = (100, 250, 500)


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per volume."""
    del device  # a core
    return [_row(name, volume) for name, volume in volumes()]


def _row(name: str, volume: Volume) -> dict[str, Any]:
    settings = FitSettings.of(recipe="paper")
    network = AMGSRN(PRESETS["small"].config(settings.transform), settings.seed)
    optimiser = make_optimiser(network, settings.recipe.steps or 0, settings.recipe)
    sampler = UniformSampler(volume, settings.recipe.batch, settings.seed)
    array = ArrayInfo(name, value_range=volume.ranges[0])
    row: dict[str, Any] = {"volume": name}
    spent = 0.0
    with one_torch_thread():
        for step in range(_MEASURED_AFTER[-1]):
            points, targets = sampler.draw(step)
            os.environ["AMGSRN_KERNELS"] = "reference"
            begin = time.process_time()
            optimiser.step(step, 0.0, points, targets)
            spent += time.process_time() - begin
            del os.environ["AMGSRN_KERNELS"]
            if step + 1 in _MEASURED_AFTER:
                row[f"dB @{step + 1}"] = measure(AMGSRNField(network, volume.domain, array), volume).psnr_db
                row[f"CPU s @{step + 1}"] = spent
    return row
