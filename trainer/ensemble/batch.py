# SPDX-License-Identifier: BSD-3-Clause
"""Bricks that learn in lock step on one GPU, which one small network does not keep busy; on CPUs bricks are processes.

Each brick goes through the schedule of the fast recipe as it would alone: its own samples, moves of its grids, rates and
end. Of one that has finished nothing changes any more, and it takes no time.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN, AMGSRNConfig

from ..errors import FitDiverged, InvalidOption
from ..placement import CAUTIOUS_WORTH_DB, WORTH_DB, grid_proportions, is_due, may_move, move_grids, place_grids
from ..plateau import LOOK_EVERY, EarlyStop
from ..presets import PRESETS
from ..recipes import DensityRecipe, FastRecipe
from ..samplers import make_sampler
from ..schedules import late_fall
from ..settings import FitSettings
from ..sizing import resolution_within
from ..volumes import Volume

Progress = Callable[[float], object]
# Drawing samples is work for the CPU; it must not be what a GPU waits for.
_MOST_DRAWING_THREADS = 8


@dataclass(frozen=True)
class Trained:
    """What came out for one brick.

    Attributes:
        network: the network.
        steps: how many it has learned from, fewer than planned where nothing was left to be learned.
        points: samples of all of them together.
    """

    network: AMGSRN
    steps: int = 0
    points: int = 0


def fit_bricks(
    volumes: Sequence[Volume],
    settings: FitSettings,
    device: torch.device,
    seeds: Sequence[int],
    progress: Progress | None = None,
    configs: Sequence[AMGSRNConfig] | None = None,
) -> list[Trained]:
    """A trained network for each volume, in their order. Networks of one architecture learn together.

    Args:
        volumes: the bricks; the network of a constant one stays as it was initialised.
        settings: of all of them, but for the seed: the fast recipe with a number of steps, and no goals.
        device: where to train.
        seeds: of each brick.
        progress: called with the finished part of the work in (0, 1] now and then; may raise to stop.
        configs: the networks to train; by default the preset's, in the proportions that each volume asks for.

    Raises:
        InvalidOption: settings that networks in lock step cannot have.
        FitDiverged: a loss is not finite; its `brick` is the number of the volume.
    """
    recipe = settings.recipe
    if not isinstance(recipe, FastRecipe) or isinstance(recipe, DensityRecipe) or recipe.steps is None:
        raise InvalidOption("bricks that learn together need --recipe fast and a number of steps")
    if settings.time_budget is not None or settings.target_psnr is not None:
        raise InvalidOption("bricks that learn together cannot have --time-budget or --target-psnr of their own")
    if settings.target_size is not None and configs is None:
        raise InvalidOption("bricks that learn together need networks chosen for --target-size")
    if configs is None:
        configs = [_config(volume, settings, seed) for volume, seed in zip(volumes, seeds, strict=True)]
    networks = [AMGSRN(config, seed).to(device) for config, seed in zip(configs, seeds, strict=True)]
    groups: dict[AMGSRNConfig, list[_Brick]] = {}
    learning: dict[int, _Brick] = {}
    for number, (volume, network, seed) in enumerate(zip(volumes, networks, seeds, strict=True)):
        if not _is_constant(volume):
            learning[number] = _Brick(number, volume, network, replace(settings, seed=seed), recipe)
            groups.setdefault(network.config, []).append(learning[number])
    done, total = 0, sum(map(len, groups.values()))
    for bricks in groups.values():
        for part in _train(bricks, recipe, recipe.steps, device):
            if progress is not None:
                progress((done + part * len(bricks)) / total)
        done += len(bricks)
    # Copies, so that a network does not keep the memory of all.
    return [
        Trained(copy.deepcopy(network), learning[number].steps, learning[number].points)
        if number in learning
        else Trained(network)
        for number, network in enumerate(networks)
    ]


class _Brick:
    """One of the networks, with all that is its own."""

    def __init__(self, number: int, volume: Volume, network: AMGSRN, settings: FitSettings, recipe: FastRecipe) -> None:
        self.network = network
        self.steps, self.points = 0, 0
        self._number = number
        self._volume, self._settings, self._recipe = volume, settings, recipe
        self._moves = place_grids(network, volume, settings.placement, settings.seed).to_dict().get("moves")
        self.sampler = make_sampler(volume, settings, network)
        self._early_stop = EarlyStop(recipe) if settings.early_stop else None
        # Since the last look: number of samples, their bias, part of the schedule, whether grids rest.
        self._noted: list[tuple[int, float, float, bool]] = []

    def fraction(self, step: int, steps: int) -> float:
        """The part of its schedule that is done."""
        scheduled = step / steps
        return scheduled if self._early_stop is None else self._early_stop.fraction(scheduled)

    def rates(self, fraction: float) -> kernels.Rates:
        """Learning rates at that part of its schedule."""
        recipe, fall = self._recipe, late_fall(min(1.0, fraction), self._recipe.fall_start)
        return kernels.Rates(recipe.learning_rate * fall, recipe.mlp_rate * fall, recipe.placement_rate * fall)

    def draw(self, step: int, fraction: float) -> tuple[torch.Tensor, torch.Tensor]:
        """What it learns from in a step, points (n, 3) and targets (n, outputs)."""
        points, targets = self.sampler.draw(step)
        self.steps, self.points = step + 1, self.points + len(points)
        self._noted.append((len(points), self.sampler.bias, fraction, self._rests(fraction)))
        return points, targets

    def move_grids(self, fit: kernels.BatchedFit, step: int, fraction: float) -> None:
        """Move grids to where it errs, if it is time."""
        cautious = self._settings.placement == "auto"
        if self._moves is None or not is_due(step, fraction, self._moves, cautious):
            return
        worth = CAUTIOUS_WORTH_DB if cautious and not self._moves else WORTH_DB
        move = move_grids(_Row(self.network, fit), self._volume, self._settings.seed, fraction, worth)
        self._moves = [*self._moves, move.to_dict()]

    def look(self, losses: torch.Tensor, step: int) -> None:
        """Take the losses of the steps since the last look, on the CPU, into account."""
        for loss, (count, bias, fraction, rests) in zip(losses, self._noted, strict=True):
            if not count:
                continue
            if not math.isfinite(float(loss)):
                raise FitDiverged(step, self._number)
            if self._early_stop is not None:
                self._early_stop.record(loss, bias, fraction, rests)
        self._noted.clear()

    def _rests(self, fraction: float) -> bool:
        return self._moves is None or not may_move(fraction, self._moves, self._settings.placement == "auto")


class _Row:
    """A network in the batch, as `move_grids` wants it."""

    def __init__(self, network: AMGSRN, fit: kernels.BatchedFit) -> None:
        self.network, self._fit = network, fit

    def moments(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        for name, parameter in self.network.named_parameters():
            for moment, tensor in self._fit.moments(parameter).items():
                yield name, moment, tensor


def _train(bricks: Sequence[_Brick], recipe: FastRecipe, steps: int, device: torch.device) -> Iterator[float]:
    """Train networks of one architecture; yields the finished part now and then."""
    fit = kernels.batched_fit_state(
        [brick.network.learned() for brick in bricks], kernels.AdamSettings(recipe.betas, recipe.eps)
    )
    losses: list[torch.Tensor] = []
    threads = 1 if device.type == "cpu" else min(_MOST_DRAWING_THREADS, len(bricks))
    with ThreadPoolExecutor(threads) as pool:
        for step in range(steps):
            fractions = [brick.fraction(step, steps) for brick in bricks]
            active = [row for row, fraction in enumerate(fractions) if fraction < 1.0 and row not in fit.frozen]
            for row in set(range(len(bricks))) - set(active) - fit.frozen:
                fit.freeze(row)
            if not active:
                break
            for row in active:
                bricks[row].move_grids(fit, step, fractions[row])
                bricks[row].sampler.attend(step, bricks[row].network)
            work = {row: pool.submit(bricks[row].draw, step, fractions[row]) for row in active}
            drawn = {row: future.result() for row, future in work.items()}
            points, targets, counts = _together(drawn, len(bricks), bricks[0].network.config.outputs)
            rates = [brick.rates(fraction) for brick, fraction in zip(bricks, fractions, strict=True)]
            losses.append(fit.step(points.to(device), targets.to(device), rates, counts))
            if (step + 1) % LOOK_EVERY == 0 or step + 1 == steps:
                found = torch.stack(losses, dim=1).cpu()
                losses.clear()
                for row in active:
                    bricks[row].look(found[row], step + 1)
                if step + 1 < steps:
                    yield sum(brick.fraction(step + 1, steps) for brick in bricks) / len(bricks)
    yield 1.0


def _together(
    drawn: dict[int, tuple[torch.Tensor, torch.Tensor]], rows: int, outputs: int
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Points (rows, longest, 3), targets (rows, longest, outputs), and how many of each row count."""
    counts = [len(drawn[row][0]) if row in drawn else 0 for row in range(rows)]
    points, targets = torch.zeros(rows, max(counts), 3), torch.zeros(rows, max(counts), outputs)
    for row, (own, values) in drawn.items():
        points[row, : counts[row]] = own
        targets[row, : counts[row]] = values
    return points, targets, counts


def _config(volume: Volume, settings: FitSettings, seed: int) -> AMGSRNConfig:
    """The preset's network, with grids in the proportions that the volume asks for."""
    preset = PRESETS[settings.preset or "small"]
    config = preset.config(settings.transform, volume.components)
    if _is_constant(volume):
        return config
    nodes = math.prod(config.resolution)
    return replace(config, resolution=resolution_within(nodes, grid_proportions(volume, config.grids * nodes, seed)))


def _is_constant(volume: Volume) -> bool:
    return all(low == high for low, high in volume.ranges)
