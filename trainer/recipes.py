# SPDX-License-Identifier: BSD-3-Clause
"""The recipes: what is drawn, minimised and decayed. The numbers are here; `optimisers` does what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FastRecipe:
    """Small batches from where the error is, and rates that fall late: seconds on a CPU (default).

    The whole schedule follows the part of the run that is done, so that it fits into any number of steps or seconds.

    Scale, rotation and translation per grid are better than free matrices at equal cost, by 0.4 to 0.9 dB on the three
    volumes of tests/trainer/test_shared_data.py.

    Grids begin in boxes searched from the data where that promises a gain, and some begin anew where the network errs.
    All follow the reconstruction error, gently; there is no density loss, which costs more time than it is worth
    (`DensityRecipe`). docs/recipe.md has the measurements behind all numbers.

    Attributes:
        steps: optimiser steps; None where only time limits them.
        batch: points per step.
        learning_rate: of the features, Adam, until rates fall.
        mlp_rate: of the MLP, likewise.
        placement_rate: of the transforms, likewise.
        fall_start: the part of the run after which all rates fall, in proportion to what is left of it.
        betas, eps: of Adam.
    """

    name: ClassVar[str] = "fast"
    transform: ClassVar[str] = "srt"
    placement: ClassVar[str] = "auto"
    sampling: ClassVar[str] = "importance"
    description: ClassVar[str] = (
        "small batches from where the error is, grids placed from the data where that pays: fits in seconds"
    )

    # Of larger presets than the small one: the fixed cost of a step weighs more, and noise hurts more.
    larger_steps: ClassVar[int] = 10_000
    larger_batch: ClassVar[int] = 4096

    steps: int | None = 15_000
    batch: int = 2048
    learning_rate: float = 0.02
    mlp_rate: float = 0.0035
    placement_rate: float = 3e-4
    fall_start: float = 0.4
    betas: tuple[float, float] = (0.8, 0.99)
    eps: float = 1e-14

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"name": self.name, **asdict(self), "betas": list(self.betas)}


@dataclass(frozen=True)
class DensityRecipe(FastRecipe):
    """The fast recipe, with grids that the paper's feature-density loss moves, for comparison.

    It moves them in addition to the reconstruction error, in place of which it costs 1 to 3 dB. Measured on two volumes,
    before samples followed the error: 0.1 and 0.6 dB better after 1500 steps each; 1.1 dB worse in the time that they
    take, which is half as long again.

    Attributes:
        density_rate: of the transforms in the density loss' own Adam.
        density_start, density_end: the density loss is used in this part of the run: after the network has learned a
            little, and early enough for the features to settle at a high learning rate.
    """

    placement: ClassVar[str] = "density"
    description: ClassVar[str] = "the fast recipe with grids moved by the paper's density loss"

    density_rate: float = 2.5e-4
    density_start: float = 0.03
    density_end: float = 0.4


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
    sampling: ClassVar[str] = "uniform"
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


@dataclass(frozen=True)
class PaperPlusRecipe:
    """The schedule of the paper's successor, AMGSRN++, as its authors' code has it.

    Transforms learn from the density loss only, with the density of that code: no constant factors, a steeper flat top.
    The features also pay for differences between neighbouring nodes, and between the same nodes of neighbouring grids,
    and for their size. The authors take the squared error in raw data units, here it is in units of the value range, so
    that these weights mean the same for every volume.

    Attributes:
        steps: iterations; None where only time limits them.
        batch: points per iteration.
        learning_rate: of features and MLP at the start, Adam; cosine to 0.
        placement_rate: of the transforms at their start, Adam; cosine to 0.
        placement_share: the part of all iterations over which the rate of the transforms falls, counted from their
            first step on.
        placement_least_rate: the transforms rest once their rate is not above this.
        density_start: the density loss is used after this iteration.
        variation_weight: of the mean squared differences of features (total variation).
        size_weight: of the mean absolute feature.
        betas: of the features' and the MLP's Adam.
        placement_betas: of the transforms' Adam.
        eps: of both.
    """

    name: ClassVar[str] = "paper++"
    transform: ClassVar[str] = "srt"
    placement: ClassVar[str] = "identity"
    sampling: ClassVar[str] = "uniform"
    description: ClassVar[str] = (
        "the schedule of its successor AMGSRN++: 30 000 steps of 131 072 points, hours on a CPU"
    )

    steps: int | None = 30_000
    batch: int = 1 << 17
    learning_rate: float = 0.01
    placement_rate: float = 1e-3
    placement_share: float = 0.2
    placement_least_rate: float = 1e-8
    density_start: int = 500
    variation_weight: float = 1e-4
    size_weight: float = 2.5e-5
    betas: tuple[float, float] = (0.9, 0.99)
    placement_betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-15

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        lists = {"betas": list(self.betas), "placement_betas": list(self.placement_betas)}
        return {"name": self.name, **asdict(self), **lists}


Recipe = FastRecipe | PaperRecipe | PaperPlusRecipe
RECIPES: dict[str, type[FastRecipe] | type[PaperRecipe] | type[PaperPlusRecipe]] = {
    kind.name: kind for kind in (FastRecipe, PaperRecipe, PaperPlusRecipe)
}
