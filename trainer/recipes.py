# SPDX-License-Identifier: BSD-3-Clause
"""The two recipes: what is drawn, minimised and decayed. The numbers are here; `optimisers` does what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FastRecipe:
    """Small stratified batches and cosine decay: seconds on a CPU (default).

    Scale, rotation and translation per grid are better than free matrices at equal cost, by 0.4 to 0.9 dB on the three
    volumes of tests/trainer/test_shared_data.py.

    Grids begin in boxes searched from the data where that promises a gain. From there they follow the reconstruction
    error, gently; there is no density loss, which loses at such budgets.

    Attributes:
        steps: optimiser steps.
        batch: points per step.
        learning_rate: of the features at the start, Adam; cosine to 0.
        mlp_rate: of the MLP at the start, likewise.
        placement_rate: of the transforms at the start, likewise.
        betas, eps: of Adam.
    """

    name: ClassVar[str] = "fast"
    transform: ClassVar[str] = "srt"
    placement: ClassVar[str] = "auto"
    description: ClassVar[str] = (
        "small stratified batches, cosine decay, grids placed from the data where that pays: fits in seconds"
    )

    steps: int = 10_000
    batch: int = 4096
    learning_rate: float = 0.01
    mlp_rate: float = 0.005
    placement_rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-14

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"name": self.name, **asdict(self), "betas": list(self.betas)}


@dataclass(frozen=True)
class PaperRecipe:
    """The paper's schedule to the letter of its authors' code (APMGSRN).

    Transforms learn from the density loss only. Where that has not converged at 80 % of the steps the authors never
    decay the learning rate of the features; here the decay starts there, as the paper says it should.

    Attributes:
        steps, batch: iterations at most, and points per iteration.
        learning_rate: of features and MLP.
        placement_rate: of the transforms during the first `placement_warm_steps` steps of theirs; half of it
            afterwards.
        density_start: the density loss is used after this iteration ...
        density_end: ... and before this part of all iterations, or until the grids have converged.
        converge_start: the first iteration at which grids may have converged.
        converge_window: the mean density loss of this many iterations is compared with that of as many before.
        converge_change: relative change below which grids have converged, twice running.
        plateau_window: the mean loss of this many iterations decides about the learning rate.
        plateau_patience, plateau_change, plateau_cooldown, plateau_factor: as in torch's ReduceLROnPlateau.
        finish_rate: the fit ends when the learning rate is below this part of its first value.
        betas, eps: of Adam.
    """

    name: ClassVar[str] = "paper"
    transform: ClassVar[str] = "matrix"
    placement: ClassVar[str] = "identity"
    description: ClassVar[str] = "the paper's schedule to the letter: 50 000 steps of 100 000 points, hours on a CPU"

    steps: int = 50_000
    batch: int = 100_000
    learning_rate: float = 0.01
    placement_rate: float = 5e-4
    placement_warm_steps: int = 5
    density_start: int = 500
    density_end: float = 0.8
    converge_start: int = 2500
    converge_window: int = 1000
    converge_change: float = 1e-4
    plateau_window: int = 1000
    plateau_patience: int = 500
    plateau_change: float = 1e-4
    plateau_cooldown: int = 250
    plateau_factor: float = 0.1
    finish_rate: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-14

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"name": self.name, **asdict(self), "betas": list(self.betas)}


Recipe = FastRecipe | PaperRecipe
RECIPES: dict[str, type[FastRecipe] | type[PaperRecipe]] = {kind.name: kind for kind in (FastRecipe, PaperRecipe)}
