# SPDX-License-Identifier: BSD-3-Clause
"""What a model file says about how it was made."""

from __future__ import annotations

from typing import Any

from amgsrn_core.models import AMGSRN, AMGSRNConfig

from .candidate import Candidate
from .checkpoint import Progress
from .metrics import ComponentMetrics, Metrics
from .placement import Move
from .precision import Stored
from .settings import FitSettings
from .volumes import Volume

# Numbers with as many characters as there may be.
_LONG_FLOAT = -1.2345678901234567e-100
_LONG_SECONDS = 1234567890.123
_LONG_COUNT = 10**15
_LONG_MOVES = [Move(_LONG_FLOAT, (10, 11, 12, 13), _LONG_FLOAT).to_dict()] * 4


def describe(
    settings: FitSettings, volume: Volume, identity: dict[str, Any], progress: Progress, model: Candidate
) -> dict[str, Any]:
    """Settings, source, cost and errors of a fit; JSON-ready.

    Args:
        settings: as asked for.
        volume: what was learned.
        identity: see `fit_volume`.
        progress: at the end, with all costs.
        model: what came out.
    """
    target = settings.target_psnr
    about_target = {} if target is None else {"target_psnr_db": target, "target_reached": model.reaches(target)}
    return {
        "recipe": settings.recipe.name,
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "placement": progress.placement,
        "steps": progress.step,
        "networks": progress.networks,
        "points": progress.points,
        "seconds": round(progress.seconds, 3),
        "training_seconds": round(progress.training_seconds, 3),
        "cpu_seconds": round(progress.cpu_seconds, 3),
        "points_per_second": round(progress.points / max(progress.training_seconds, 1e-9), 1),
        "parameters": model.stored.network.parameter_count(),
        "precision": "half" if model.stored.half else "single",
        "half_costs_db": model.stored.half_costs_db,
        **about_target,
        **model.metrics.to_dict(),
        "source": {
            **volume.source.to_dict(),
            "shape": list(volume.shape),
            "missing": volume.missing,
            "fingerprint": identity["fingerprint"],
        },
        "identity": identity,
    }


def longest_description(settings: FitSettings, volume: Volume, identity: dict[str, Any]) -> dict[str, Any]:
    """A description with at least as many characters as `describe` will give at the end of this fit."""
    network = AMGSRN(AMGSRNConfig(resolution=(2, 2, 2)))
    names = volume.names if volume.components > 1 else ()
    components = tuple(ComponentMetrics(name, _LONG_FLOAT, _LONG_FLOAT, _LONG_FLOAT) for name in names)
    metrics = Metrics(_LONG_FLOAT, _LONG_FLOAT, 1.0, _LONG_FLOAT, components, _LONG_COUNT if volume.missing else None)
    model = Candidate(Stored(network, False, _LONG_FLOAT), metrics)
    progress = Progress(
        step=_LONG_COUNT,
        points=_LONG_COUNT,
        seconds=_LONG_SECONDS,
        cpu_seconds=_LONG_SECONDS,
        training_seconds=_LONG_SECONDS,
        placement={"method": "identity", "predicted_gain_db": _LONG_FLOAT, "moves": _LONG_MOVES},
    )
    numbers = {"parameters": _LONG_COUNT, "points_per_second": _LONG_SECONDS, "rmse": _LONG_FLOAT}
    return {**describe(settings, volume, identity, progress, model), **numbers}
