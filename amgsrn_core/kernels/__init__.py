# SPDX-License-Identifier: BSD-3-Clause
"""The hot loops as one table of functions; back ends are interchangeable and have the signatures of `reference`."""

from .batched import BatchedFit, batched_fit_state
from .dispatch import (
    Evaluator,
    chosen_backend,
    density,
    ensemble_evaluator,
    evaluator,
    fit_state,
    forward,
    mean_squared_error,
)
from .ensemble import EnsembleEvaluator, Member, Members
from .fitting import AdamSettings, FitState, Learned, Rates
from .reference import encode, mlp, to_local
from .sampling import lattice_samples, sample_volume, uniform_samples

__all__ = [
    "AdamSettings",
    "BatchedFit",
    "EnsembleEvaluator",
    "Evaluator",
    "FitState",
    "Learned",
    "Member",
    "Members",
    "Rates",
    "batched_fit_state",
    "chosen_backend",
    "density",
    "encode",
    "ensemble_evaluator",
    "evaluator",
    "fit_state",
    "forward",
    "lattice_samples",
    "mean_squared_error",
    "mlp",
    "sample_volume",
    "to_local",
    "uniform_samples",
]
