# SPDX-License-Identifier: BSD-3-Clause
"""Placing a network's grids by one of the methods that a user can choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from amgsrn_core.models import AMGSRN

from ..volumes import Volume
from .boxes import BoxSearch
from .detail import measure_detail

METHODS = {
    "auto": "boxes from the data where that promises to pay, else identity; then moved where that does (default)",
    "data": "boxes searched so that nodes are dense where the data needs them",
    "identity": "all grids over the whole domain, as the paper begins",
    "iterative": "over the whole domain, then moved to where the network errs, early in the run (see `moving`)",
    "density": "over the whole domain, then moved by the paper's density loss (see `recipes.DensityRecipe`)",
}
# Below this the prediction is within what it errs by: volumes with evenly spread detail promise up to 0.8 dB and gain 0.1.
_WORTH_DB = 1.0
# Grids that have more nodes along one axis than along another, by this factor, are where the data needs them already
# (see `proportions`): boxes and moves lose up to 1.2 dB on the two volumes of docs/recipe.md that are like that.
_STRETCHED = 1.6
# Grids that stay over the whole domain, of sixteen: with fewer than four some volumes are ruined.
_GLOBAL_SHARE = 6 / 16


@dataclass(frozen=True)
class Placement:
    """How the grids were placed.

    Attributes:
        method: 'data' or 'identity'; 'given' for grids that were there before.
        predicted_gain_db: what boxes from the data promise over identity; None where that was not asked.
        moves: whether grids are to move while the network learns.
    """

    method: str
    predicted_gain_db: float | None = None
    moves: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description; `moves`, where grids are to move, is the list of what has been moved so far."""
        described = {"method": self.method, "predicted_gain_db": self.predicted_gain_db}
        return {**described, "moves": []} if self.moves else described

    def __str__(self) -> str:
        place = {"data": "in boxes from the data", "given": "where they were"}.get(self.method, "over the whole domain")
        promise = "" if self.predicted_gain_db is None else f" (boxes promise {self.predicted_gain_db:.1f} dB)"
        return f"grids {place}{promise}"


def place_grids(network: AMGSRN, volume: Volume, method: str, seed: int) -> Placement:
    """Move the grids of a new network, in place, to where training is to begin.

    Args:
        network: as initialised.
        volume: what it will learn.
        method: one of METHODS.
        seed: of the search.
    """
    if method in ("identity", "iterative", "density"):
        return Placement("identity", moves=method == "iterative")
    config = network.config
    if method == "auto" and _is_stretched(network):
        return Placement("identity")
    fixed = int(np.ceil(_GLOBAL_SHARE * config.grids))
    table = measure_detail(volume.values, volume.ranges, seed)
    result = BoxSearch(table, int(np.prod(config.resolution)), config.grids, fixed).run(seed)
    gain = round(result.predicted_gain_db, 2)
    moves = method == "auto"
    if moves and gain < _WORTH_DB:
        return Placement("identity", gain, moves)
    network.placement.move_into(torch.from_numpy(result.boxes))
    return Placement("data", gain, moves)


def keep_grids(network: AMGSRN, method: str) -> Placement:
    """Leave the grids of a network that has learned something where they are when training begins.

    Args:
        network: which it is.
        method: one of METHODS; it decides whether grids move later.
    """
    return Placement("given", moves=method == "iterative" or (method == "auto" and not _is_stretched(network)))


def _is_stretched(network: AMGSRN) -> bool:
    resolution = network.config.resolution
    return max(resolution) > _STRETCHED * min(resolution)
