# SPDX-License-Identifier: BSD-3-Clause
"""One fit on its way: training, measuring, larger networks, checkpoints.

Networks are trained one after the other: one, or, with a target, as many as it takes, each beginning as what the one
before has learned.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from amgsrn_core import save_field
from amgsrn_core.errors import ModelFileError, ModelNotWritable
from amgsrn_core.models import AMGSRN, AMGSRNConfig

from .budget import Budget
from .candidate import Candidate
from .checkpoint import Checkpoint, Progress, checkpoint_path
from .clock import Clock
from .description import describe, longest_description
from .errors import CheckpointMismatch, FitDiverged, FitInterrupted
from .fields import Fields
from .growth import grow, larger_network
from .interrupts import Interrupts
from .judge import Judge
from .optimisers import Optimiser, make_optimiser
from .outputs import check_writable
from .placement import (
    CAUTIOUS_WORTH_DB,
    WORTH_DB,
    Placement,
    grid_proportions,
    is_due,
    keep_grids,
    may_move,
    move_grids,
    place_grids,
)
from .plateau import EarlyStop
from .precision import FREE_DB, Stored
from .probe import Probe
from .progress import Display, RunningLoss, say_on_stderr
from .recipes import FastRecipe
from .samplers import make_sampler
from .seeker import LOOK_EVERY, TargetSeeker
from .settings import FitSettings
from .sizing import file_size, first_network
from .threads import training_threads
from .volumes import Volume
from .volumes.region import Region

# Steps between two looks at the loss; a look makes a GPU wait.
_LOOK_EVERY = 20
# A checkpoint holds every parameter three times: itself and Adam's two moments.
_CHECKPOINT_BYTES = 12
# Units of the progress bar.
_PARTS = 1_000_000
# A larger network is not begun when less than this part of the time for the one before is left.
_LEAST_TIME = 0.25
# With a target, the part of the time that the first network gets if it may grow: larger ones need more.
_FIRST_SHARE = 1 / 3

Say = Callable[[str], object]


@dataclass(frozen=True)
class FitOptions:
    """What does not change the result.

    Attributes:
        device: where to train.
        checkpoint_interval: seconds between checkpoints.
        overwrite: replace an output, or a checkpoint, of another fit.
        quiet: show no progress.
        say: receives messages for the user, one line each.
        watch: told now and then which part of the training is done, and the running mean of the loss.
        region: first and last node along x, y and z of the nodes over which errors are measured; all if None.
    """

    device: torch.device
    checkpoint_interval: float = 10.0
    overwrite: bool = False
    quiet: bool = False
    say: Say = say_on_stderr
    watch: Callable[[float, float | None], object] | None = None
    region: Region | None = None


class Fit:
    """A fit of one volume, from wherever an earlier run of it stopped; see `fit.fit_volume` for arguments and errors."""

    def __init__(
        self,
        volume: Volume,
        output: Path,
        settings: FitSettings,
        options: FitOptions,
        identity: dict[str, Any],
        start: AMGSRN | AMGSRNConfig | None = None,
    ) -> None:
        self._volume, self._output, self._settings, self._options = volume, output, settings, options
        self._identity = identity
        self._fields = Fields.of_volume(volume)
        self._constant = all(low == high for low, high in volume.ranges)
        self._target = settings.target_psnr
        self._seeker = self._make_seeker()
        self._early_stop = self._make_early_stop()
        self._probe = None if self._constant else Probe(volume, options.device, settings.seed)
        self._judge = Judge(volume, settings, self._fields, self._probe, options.quiet, options.region)
        self._longest = longest_description(settings, volume, identity)
        self._has_grids = isinstance(start, AMGSRN)
        if isinstance(start, AMGSRN):
            network = copy.deepcopy(start)
        else:
            network = AMGSRN(start or self._first_network(), settings.seed)
        self._checkpoint = Checkpoint(checkpoint_path(output), identity, self._fields)
        self._progress = Progress()
        self._clock = Clock(self._progress)
        self._begin(network.to(options.device))
        check_writable(output, _CHECKPOINT_BYTES * self._parameters)
        self._best: Candidate | None = None
        self._saved_step = 0
        self._warned = False

    def run(self, interrupts: Interrupts) -> dict[str, Any]:
        """Fit, write the model, and return what it says about its training."""
        self._resume()
        self._clock = Clock(self._progress)
        if not self._constant and not self._progress.step:
            placement = self._place_grids()
            self._progress = replace(self._progress, placement=placement.to_dict())
            self._options.say(f"{placement}, {_times(self._network.config.resolution)} nodes each")
        while True:
            with training_threads(self._parameters, self._options.device):
                self._train(interrupts)
            model = self._judge.judge(self._network, lambda: self._stop_if_asked(interrupts))
            if model.better_than(self._best):
                self._best = model
            if self._target is None or model.reaches(self._target) or not self._go_on(model):
                return self._finish()

    def _place_grids(self) -> Placement:
        """Put the grids to where training begins."""
        if self._has_grids:
            return keep_grids(self._network, self._settings.placement)
        return place_grids(self._network, self._volume, self._settings.placement, self._settings.seed)

    def _begin(self, network: AMGSRN, optimiser: Optimiser | None = None) -> None:
        """Make a network the one that is trained, by an optimiser that has trained it before or a new one."""
        self._network = network
        self._parameters = network.parameter_count()
        steps, seconds = self._settings.recipe.steps, self._settings.time_budget
        if seconds is not None:
            seconds -= self._progress.network_seconds
            if self._progress.networks == 1 and self._may_grow():
                seconds *= _FIRST_SHARE
        self._budget = Budget(0 if self._constant else steps, seconds)
        self._optimiser = optimiser or make_optimiser(network, steps or 0, self._settings.recipe)
        self._sampler = make_sampler(self._volume, self._settings, network)

    def _first_network(self) -> AMGSRNConfig:
        """The network to begin with, its grids in the proportions that the volume asks for."""
        settings, nodes = self._settings, self._volume.domain.dimensions
        outputs = self._volume.components
        config = first_network(settings, nodes, self._file_size, outputs=outputs)
        if self._constant or not isinstance(settings.recipe, FastRecipe):
            return config
        all_nodes = config.grids * math.prod(config.resolution)
        proportions = grid_proportions(self._volume, all_nodes, settings.seed)
        return first_network(settings, nodes, self._file_size, proportions, outputs)

    def _make_seeker(self) -> TargetSeeker | None:
        recipe = self._settings.recipe
        if self._target is None or self._constant or not isinstance(recipe, FastRecipe):
            return None
        return TargetSeeker(self._target, recipe.fall_start)

    def _make_early_stop(self) -> EarlyStop | None:
        recipe = self._settings.recipe
        if not self._settings.early_stop or self._constant or not isinstance(recipe, FastRecipe):
            return None
        return EarlyStop(recipe)

    def _may_grow(self) -> bool:
        return self._seeker is not None and not isinstance(self._larger_network(0.0), str)

    def _resume(self) -> None:
        try:
            config = self._checkpoint.config()
            if config is None:
                return
            network = AMGSRN(config, self._settings.seed).to(self._options.device)
            optimiser = make_optimiser(network, self._settings.recipe.steps or 0, self._settings.recipe)
            sampler = make_sampler(self._volume, self._settings, network)
            progress = self._checkpoint.load(optimiser, sampler)
            self._best = self._checkpoint.load_best(self._options.device)
        except (CheckpointMismatch, ModelFileError):
            if not self._options.overwrite:
                raise
            self._checkpoint.delete()
            return
        self._progress, self._saved_step = progress, progress.step
        if self._seeker is not None and progress.seeker:
            self._seeker.restore(progress.seeker)
        if self._early_stop is not None and progress.early_stop:
            self._early_stop.restore(progress.early_stop)
        self._begin(network, optimiser)
        self._sampler = sampler
        self._options.say(f"resuming at step {progress.step}{self._of_steps()}")

    def _train(self, interrupts: Interrupts) -> None:
        """Train the network until its schedule ends, or the target may have been reached."""
        device, step, points_done = self._options.device, self._progress.step, self._progress.points
        loss, running, began, began_points = torch.zeros(()), RunningLoss(), time.monotonic(), points_done
        saved = began
        self._clock.start_training()
        scheduled = self._scheduled(step)
        with Display("fitting", _PARTS, int(_PARTS * scheduled), self._options.quiet) as display:
            while scheduled < 1.0 and not self._optimiser.finished:
                if self._seeker is not None and self._seeker.wants_measure:
                    break
                fraction = self._seeker.fraction(step, scheduled) if self._seeker is not None else scheduled
                if fraction == scheduled:
                    self._move_grids(step, fraction)
                self._sampler.attend(step, self._network)
                points, targets = self._sampler.draw(step)
                if len(points):
                    loss = self._optimiser.step(step, fraction, points.to(device), targets.to(device))
                    if self._early_stop is not None:
                        self._early_stop.record(loss, self._sampler.bias, scheduled, self._grids_rest(fraction))
                step += 1
                points_done += len(points)
                scheduled = self._scheduled(step)
                self._estimate(step, scheduled)
                now = time.monotonic()
                due = now - saved >= self._options.checkpoint_interval
                if due or interrupts.requested or step % _LOOK_EVERY == 0 or scheduled >= 1.0:
                    self._note(step, points_done)
                    value = float(loss)
                    if not math.isfinite(value):
                        raise FitDiverged(step)
                    running.add(value / self._sampler.bias)
                    speed = (points_done - began_points) / max(now - began, 1e-9)
                    display.update(int(_PARTS * scheduled), f"{running.describe()}, {speed / 1e6:.2f} M points/s")
                    if self._options.watch is not None:
                        self._options.watch(scheduled, running.mean)
                    if due:
                        self._save()
                        saved = time.monotonic()
                    if interrupts.requested:
                        self._interrupted()
        self._note(step, points_done)
        if step > self._saved_step:
            self._save()

    def _move_grids(self, step: int, fraction: float) -> None:
        """Move grids to where the network errs, if that was asked for and it is time.

        Not while a target's seeker lets the rate fall, nor in a network that began as what another has learned.
        """
        placement = self._progress.placement
        moves = placement.get("moves")
        cautious = self._settings.placement == "auto"
        if moves is None or self._progress.networks > 1 or not is_due(step, fraction, moves, cautious):
            return
        worth = CAUTIOUS_WORTH_DB if cautious and not moves else WORTH_DB
        move = move_grids(self._optimiser, self._volume, self._settings.seed, fraction, worth)
        self._progress = replace(self._progress, placement={**placement, "moves": [*moves, move.to_dict()]})

    def _grids_rest(self, fraction: float) -> bool:
        """Whether grids do not move any more."""
        moves = self._progress.placement.get("moves")
        return moves is None or not may_move(fraction, moves, self._settings.placement == "auto")

    def _scheduled(self, step: int) -> float:
        """The part of the present network's schedule that is done, in [0, 1]."""
        progress = self._progress
        seconds = self._clock.training_seconds() - progress.network_seconds
        scheduled = self._budget.fraction(step - progress.network_step, seconds)
        return scheduled if self._early_stop is None else self._early_stop.fraction(scheduled)

    def _estimate(self, step: int, scheduled: float) -> None:
        """Tell the seeker of a target, now and then, how good the network is about."""
        made = step - self._progress.network_step
        if self._seeker is not None and self._probe is not None and made % LOOK_EVERY == 0:
            self._seeker.look(step, made, scheduled, self._probe.psnr(self._network))

    def _note(self, step: int, points: int) -> None:
        """Bring the progress up to date."""
        self._progress = replace(
            self._progress,
            step=step,
            points=points,
            training_seconds=self._clock.training_seconds(),
            seeker=self._seeker.state() if self._seeker is not None else {},
            early_stop=self._early_stop.state() if self._early_stop is not None else {},
        )

    def _save(self) -> bool:
        """Write a checkpoint; a full disk is told once and does not end the fit, which may outlast it."""
        try:
            self._checkpoint.save(self._optimiser, self._sampler, self._clock.spent(self._progress), self._best)
        except ModelNotWritable as error:
            if not self._warned:
                self._options.say(f"warning: no checkpoint: {error}; the fit goes on")
            self._warned = True
            return False
        self._saved_step = self._progress.step
        return True

    def _interrupted(self) -> None:
        step = self._progress.step
        if step > self._saved_step:
            self._save()
        raise FitInterrupted(
            f"interrupted at step {step}{self._of_steps()}; "
            f"run the same command again to resume at step {self._saved_step}"
        )

    def _of_steps(self) -> str:
        """' of N', where N is known."""
        known = self._budget.steps is not None and self._target is None
        return f" of {self._budget.steps}" if known else ""

    def _stop_if_asked(self, interrupts: Interrupts) -> None:
        if interrupts.requested:
            self._interrupted()

    def _go_on(self, model: Candidate) -> bool:
        """After a miss: go on training, the same network or a larger one; False where neither makes sense."""
        if self._seeker is None or self._target is None:
            return False
        psnr = model.metrics.psnr_db or 0.0
        step = self._progress.step
        if self._scheduled(step) < 1.0:
            self._seeker.missed(step, psnr)
            self._note(step, self._progress.points)
            return True
        config = "the time is up" if self._time_is_up() else self._larger_network(self._target - psnr)
        if isinstance(config, str):
            self._options.say(f"{psnr:.2f} dB after {step} steps, and {config}")
            return False
        self._seeker.next_network()
        self._note(step, self._progress.points)
        self._progress = replace(
            self._progress,
            networks=self._progress.networks + 1,
            network_step=step,
            network_seconds=self._progress.training_seconds,
        )
        self._begin(grow(self._network, config, self._settings.seed))
        self._options.say(
            f"{psnr:.2f} dB after {step} steps; "
            f"going on with a larger network of {self._parameters:,} parameters towards {self._target:.2f} dB"
        )
        self._save()
        return True

    def _time_is_up(self) -> bool:
        """Whether too little time is left for a larger network."""
        budget, now = self._settings.time_budget, self._clock.training_seconds()
        return budget is not None and budget - now < _LEAST_TIME * (now - self._progress.network_seconds)

    def _larger_network(self, missing_db: float) -> AMGSRNConfig | str:
        """A larger network that may make up for what is missing, or why there is none."""
        settings = self._settings
        limit, reason = self._volume.source.bytes - 1, "a larger network would be no smaller than the volume"
        if settings.target_size is not None and settings.target_size < limit:
            limit, reason = settings.target_size, "a larger network would not fit into --target-size"
        larger = larger_network(
            self._network.config, self._volume.domain.dimensions, missing_db, lambda c: self._file_size(c) <= limit
        )
        return larger or reason

    def _file_size(self, config: AMGSRNConfig) -> int:
        """Bytes of the file of a network of this fit, at most."""
        half = self._settings.precision != "single"
        return file_size(config, self._fields, self._longest, half)

    def _finish(self) -> dict[str, Any]:
        model = self._best
        assert model is not None
        training = describe(self._settings, self._volume, self._identity, self._clock.spent(self._progress), model)
        save_field(self._output, self._fields.of(model.stored.network), training, model.stored.half)
        with contextlib.suppress(OSError):
            self._checkpoint.delete()
        self._tell_about_precision(model.stored)
        return training

    def _tell_about_precision(self, stored: Stored) -> None:
        """Say where the precision is not what one would expect."""
        wanted, cost = self._settings.precision, stored.half_costs_db
        if stored.half and wanted == "auto" and cost is not None and cost >= FREE_DB:
            self._options.say(
                f"note: features in half precision, needed for --target-size, cost {cost:.2f} dB; "
                "--precision single would have half as many of them"
            )
        if not stored.half and (wanted == "half" or (wanted == "auto" and self._settings.target_size is not None)):
            self._options.say("note: the features are too large for half precision; the file has single precision")


def _times(counts: tuple[int, int, int]) -> str:
    return " x ".join(str(count) for count in counts)
