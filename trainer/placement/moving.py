# SPDX-License-Identifier: BSD-3-Clause
"""Moving grids while a network learns: the least useful ones begin anew where it errs most.

Early in a run, a few times, the error of the network is mapped, grids that are worth least where they are are taken
out, and put into boxes where they promise most. They restart there as new ones do, while all others go on learning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch

from amgsrn_core.models import AMGSRN

from ..volumes import Volume
from .insertion import Insertion, find_insertion
from .residual import Cells, measure_residual

# The parts of a run after which grids move: the map has to mean something, and moved grids need time to learn.
_EVENTS = (0.06, 0.13, 0.20, 0.27)
_LEAST_STEPS = 100
# Not later, even where a run came past an event without noticing (a learning rate that suddenly falls, a slow start).
_LATEST = 0.35
# Of sixteen grids, those that never move, without which some volumes are ruined, and those that an event moves at most.
_FIXED_SHARE, _MOVED_SHARE = 4 / 16, 4 / 16
# Predictions of less, dB, are not worth beginning anew.
WORTH_DB = 0.1
# The first prediction tells how well moving goes: on the eight volumes of docs/recipe.md, those that gained promised
# 0.25 to 1.1, the one that lost 0.08 to 0.25.
CAUTIOUS_WORTH_DB = 0.4


class Learner(Protocol):
    """What trains a network: an `Optimiser`, or the row of a batch."""

    network: AMGSRN

    def moments(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        """Adam's running moments, see `Optimiser.moments`."""


@dataclass(frozen=True)
class Move:
    """What an event has done.

    Attributes:
        fraction: the part of the run that was done.
        grids: those that moved, ascending; none where it did not promise enough.
        predicted_gain_db: by how much the modelled error falls.
    """

    fraction: float
    grids: tuple[int, ...]
    predicted_gain_db: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {**asdict(self), "grids": list(self.grids)}


def is_due(step: int, fraction: float, moves: list[dict[str, Any]], cautious: bool) -> bool:
    """Whether grids are to move now.

    Args:
        step: number of steps done.
        fraction: the part of the run that is done.
        moves: what earlier events have done, see `Move.to_dict`.
        cautious: whether the first event decides about the others.
    """
    if step < _LEAST_STEPS or fraction > _LATEST or (cautious and moves and not moves[0]["grids"]):
        return False
    return _events_before(fraction) > _events_before(moves[-1]["fraction"] if moves else 0.0)


def may_move(fraction: float, moves: list[dict[str, Any]], cautious: bool) -> bool:
    """Whether grids may move then or later; arguments as of `is_due`."""
    decided = cautious and moves and not moves[0]["grids"]
    return fraction <= _EVENTS[-1] and not decided


def _events_before(fraction: float) -> int:
    return sum(fraction >= event for event in _EVENTS)


def move_grids(optimiser: Learner, volume: Volume, seed: int, fraction: float, worth_db: float = WORTH_DB) -> Move:
    """Move grids of a network that learns, in place, if that is worth it; the same state, seed and event give the same.

    Args:
        optimiser: with its network; what it remembers of moved grids is forgotten.
        volume: what is learned.
        seed: of the fit.
        fraction: the part of the run that is done.
        worth_db: grids stay where less is predicted.
    """
    random = np.random.default_rng((seed, _events_before(fraction)))
    network, cells = optimiser.network, Cells.of(volume)
    errors = measure_residual(network, volume, cells, int(random.integers(2**31)))
    transforms = network.transforms().detach().cpu().double().numpy()
    grids, nodes = network.config.grids, int(np.prod(network.config.resolution))
    fixed, most = int(np.ceil(_FIXED_SHARE * grids)), max(1, round(_MOVED_SHARE * grids))
    found = find_insertion(errors, transforms, nodes, fixed, most, random)
    gain = round(found.predicted_gain_db, 2)
    if gain < worth_db or not found.grids:
        return Move(fraction, (), gain)
    begin_anew(optimiser, found, int(random.integers(2**31)))
    return Move(fraction, tuple(found.grids), gain)


@torch.no_grad()
def begin_anew(optimiser: Learner, insertion: Insertion, seed: int) -> None:
    """Put grids into their boxes as new ones: placement with its jitter, features near zero, no moments of Adam."""
    network = optimiser.network
    fresh = type(network)(network.config, seed)
    boxes = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]], dtype=torch.float64).repeat(network.config.grids, 1)
    boxes[insertion.grids] = torch.from_numpy(insertion.boxes)
    fresh.placement.move_into(boxes)
    new = dict(fresh.named_parameters())
    for name, parameter in network.named_parameters():
        if _is_per_grid(name):
            parameter[insertion.grids] = new[name][insertion.grids].to(parameter)
    for name, moment, tensor in optimiser.moments():
        if _is_per_grid(name) and moment != "step":
            tensor[insertion.grids] = 0.0


def _is_per_grid(name: str) -> bool:
    """Whether a parameter's first axis counts grids."""
    return name == "grids" or name.startswith("placement.")
