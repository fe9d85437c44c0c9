# SPDX-License-Identifier: BSD-3-Clause
"""Fitting a network to a volume: resumable, and the same to the last bit whether it was interrupted or not."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from amgsrn_core import ArrayInfo, read_header, save_field
from amgsrn_core.errors import ModelFileError, ModelNotWritable
from amgsrn_core.models import AMGSRN, AMGSRNField

from .checkpoint import Checkpoint, Progress, checkpoint_path
from .errors import CheckpointMismatch, FitDiverged, FitInterrupted, OutputExists
from .interrupts import Interrupts
from .metrics import measure
from .optimisers import Optimiser, make_optimiser
from .outputs import check_writable
from .placement import place_grids
from .progress import Display, RunningLoss, say_on_stderr
from .recipes import PaperRecipe
from .sampling import Sampler, StratifiedSampler, UniformSampler, VoxelSampler
from .settings import FitSettings, difference
from .threads import training_threads
from .volumes import Volume

# Steps between two looks at the loss; a look makes a GPU wait.
_LOOK_EVERY = 20
# A checkpoint holds every parameter three times: itself and Adam's two moments.
_CHECKPOINT_BYTES = 12

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
    """

    device: torch.device
    checkpoint_interval: float = 10.0
    overwrite: bool = False
    quiet: bool = False
    say: Say = say_on_stderr


@dataclass(frozen=True)
class FitResult:
    """A finished fit.

    Attributes:
        training: what the model file says about it: settings, source, cost and errors.
        fresh: False if it had been finished before.
    """

    training: dict[str, Any]
    fresh: bool


def fit_volume(volume: Volume, output: Path, settings: FitSettings, options: FitOptions) -> FitResult:
    """Fit a network to a volume and write it as an .amgsrn file; continues where an interrupted fit of the same
    stopped.

    Raises:
        OutputNotWritable, OutputExists, CheckpointMismatch, ModelFileError: before anything is computed.
        FitInterrupted: by Ctrl-C or SIGTERM, after a checkpoint was written.
        FitDiverged: the loss is not finite.
        ModelNotWritable: the model could not be written; the checkpoint is kept.
    """
    identity = {
        **settings.to_dict(),
        "variable": volume.source.variable,
        "time_index": volume.source.time_index,
        "shape": list(volume.values.shape),
        "fingerprint": volume.fingerprint(),
    }
    done = _finished_before(output, identity, options.overwrite)
    if done is not None:
        return FitResult(done, fresh=False)
    return _Fit(volume, output, settings, options, identity).run()


def _finished_before(output: Path, identity: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """What an existing output says about its training if it is this very fit; None if there is no output, or it may
    be replaced."""
    if overwrite or not output.exists():
        return None
    try:
        training = read_header(output).training
    except ModelFileError as error:
        raise OutputExists(output, "and is not a readable model") from error
    if "identity" not in training:
        raise OutputExists(output, "a model from elsewhere")
    reason = difference(training["identity"], identity)
    if reason:
        raise OutputExists(output, f"a model with {reason}")
    return training


class _Fit:
    def __init__(
        self, volume: Volume, output: Path, settings: FitSettings, options: FitOptions, identity: dict[str, Any]
    ) -> None:
        self._volume, self._output, self._settings, self._options = volume, output, settings, options
        self._identity = identity
        self._array = ArrayInfo(volume.source.variable, volume.units, volume.value_range)
        network = AMGSRN(settings.config(), seed=settings.seed)
        self._parameters = network.parameter_count()
        check_writable(output, _CHECKPOINT_BYTES * self._parameters)
        self._network = network.to(options.device)
        constant = volume.value_range[0] == volume.value_range[1]
        self._steps = 0 if constant else settings.recipe.steps
        self._optimiser: Optimiser = make_optimiser(self._network, max(self._steps, 1), settings.recipe)
        self._checkpoint = Checkpoint(checkpoint_path(output), identity, volume.domain, self._array)
        self._progress = Progress()
        self._saved_step = 0
        self._warned = False

    def run(self) -> FitResult:
        self._resume()
        # Costs of earlier runs count; of this one, everything since the process began to compute.
        self._earlier, self._clock, self._cpu = self._progress, time.monotonic(), time.process_time()
        if self._steps and not self._progress.step:
            placement = place_grids(self._network, self._volume, self._settings.placement, self._settings.seed)
            self._progress = replace(self._progress, placement=placement.to_dict())
            self._options.say(str(placement))
        with Interrupts() as interrupts:
            with training_threads(self._parameters, self._options.device):
                self._train(interrupts)
            return FitResult(self._finish(interrupts), fresh=True)

    def _resume(self) -> None:
        try:
            if self._checkpoint.identity_of_file() is None:
                return
            self._progress = self._checkpoint.load(self._optimiser)
        except (CheckpointMismatch, ModelFileError):
            if not self._options.overwrite:
                raise
            self._checkpoint.delete()
            return
        self._saved_step = self._progress.step
        self._options.say(f"resuming at step {self._progress.step} of {self._steps}")

    def _train(self, interrupts: Interrupts) -> None:
        sampler = self._sampler()
        device, step, points_done = self._options.device, self._progress.step, self._progress.points
        loss, running, began, began_points = torch.zeros(()), RunningLoss(), time.monotonic(), points_done
        saved = began
        with Display("fitting", max(self._steps, 1), step, self._options.quiet) as display:
            while step < self._steps and not self._optimiser.finished:
                points, targets = sampler.draw(step)
                if len(points):
                    loss = self._optimiser.step(step, points.to(device), targets.to(device))
                step += 1
                points_done += len(points)
                now = time.monotonic()
                due = now - saved >= self._options.checkpoint_interval
                if due or interrupts.requested or step % _LOOK_EVERY == 0 or step == self._steps:
                    self._progress = replace(self._progress, step=step, points=points_done)
                    value = float(loss)
                    if not math.isfinite(value):
                        raise FitDiverged(step)
                    running.add(value)
                    speed = (points_done - began_points) / max(now - began, 1e-9)
                    display.update(step, f"{running.describe()}, {speed / 1e6:.2f} M points/s")
                    if due:
                        self._save()
                        saved = time.monotonic()
                    if interrupts.requested:
                        self._interrupted()
        self._progress = replace(self._progress, step=step, points=points_done)
        if step > self._saved_step:
            self._save()

    def _sampler(self) -> Sampler:
        recipe = self._settings.recipe
        kind: type[Sampler] = UniformSampler
        if not isinstance(recipe, PaperRecipe):
            # As many parameters as values could be right at the nodes and anything between them.
            scarce = 2 * self._parameters < self._volume.valid
            kind = VoxelSampler if scarce else StratifiedSampler
        return kind(self._volume, recipe.batch, self._settings.seed)

    def _spent(self) -> Progress:
        """The progress with the costs of all runs so far."""
        return replace(
            self._progress,
            seconds=self._earlier.seconds + time.monotonic() - self._clock,
            cpu_seconds=self._earlier.cpu_seconds + time.process_time() - self._cpu,
        )

    def _save(self) -> bool:
        """Write a checkpoint; a full disk is told once and does not end the fit, which may outlast it."""
        try:
            self._checkpoint.save(self._optimiser, self._spent())
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
            f"interrupted at step {step} of {self._steps}; "
            f"run the same command again to resume at step {self._saved_step}"
        )

    def _finish(self, interrupts: Interrupts) -> dict[str, Any]:
        field = AMGSRNField(self._network, self._volume.domain, self._array)
        training_cost = self._spent()
        with Display("measuring", 1000, quiet=self._options.quiet) as display:

            def progress(fraction: float) -> None:
                display.update(int(1000 * fraction))
                if interrupts.requested:
                    self._interrupted()

            metrics = measure(field, self._volume, progress)
        cost = self._spent()
        training = {
            "recipe": self._settings.recipe.name,
            "settings": self._settings.to_dict(),
            "seed": self._settings.seed,
            "placement": self._progress.placement,
            "steps": self._progress.step,
            "points": self._progress.points,
            "seconds": round(cost.seconds, 3),
            "cpu_seconds": round(cost.cpu_seconds, 3),
            "points_per_second": round(self._progress.points / max(training_cost.seconds, 1e-9), 1),
            "parameters": self._parameters,
            **metrics.to_dict(),
            "source": {
                **self._volume.source.to_dict(),
                "shape": list(self._volume.values.shape),
                "missing": self._volume.missing,
                "fingerprint": self._identity["fingerprint"],
            },
            "identity": self._identity,
        }
        save_field(self._output, field, training)
        with contextlib.suppress(OSError):
            self._checkpoint.delete()
        return training
