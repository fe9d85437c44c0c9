# SPDX-License-Identifier: BSD-3-Clause
"""Several bricks learned at the same time by one GPU, which one small network does not keep busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from amgsrn_core.device import select_device
from amgsrn_core.storage import save_field

from ..errors import FitDiverged, FitInterrupted
from ..fields import Fields
from ..interrupts import Interrupts
from ..judge import Judge
from ..probe import Probe
from ..recipes import DensityRecipe, FastRecipe
from ..settings import FitSettings
from .batch import fit_bricks
from .halos import Halos
from .job import Brick, Learned, Watch
from .task import BrickSummary, BrickTask


def can_learn_together(settings: FitSettings) -> bool:
    """Whether networks with these settings can learn in lock step, see `fit_bricks`."""
    recipe = settings.recipe
    goals = (settings.time_budget, settings.target_psnr, settings.target_size)
    return isinstance(recipe, FastRecipe) and not isinstance(recipe, DensityRecipe) and goals == (None, None, None)


def fit_together(
    tasks: Sequence[BrickTask],
    outputs: Sequence[Path],
    interrupts: Interrupts,
    halos: Halos | None = None,
    when_read: Callable[[int], object] | None = None,
    watch: Watch | None = None,
) -> list[BrickSummary]:
    """Learn bricks of one volume and write their models; without checkpoints.

    Args:
        tasks: the bricks, all with settings that `can_learn_together`.
        outputs: their model files.
        interrupts, halos, when_read, watch: see `fit_brick`.

    Raises:
        VolumeError, FitDiverged, FitInterrupted, ModelNotWritable: see `fit_volume`.
    """
    bricks = []
    for task, output in zip(tasks, outputs, strict=True):
        bricks.append(Brick(task, output, halos))
        if when_read is not None:
            when_read(task.brick)
    constant = {brick.task.brick: brick.nothing_to_learn() for brick in bricks}
    learning = [brick for brick in bricks if constant[brick.task.brick] is None]

    def check(fraction: float = 0.0) -> None:
        if interrupts.requested:
            raise FitInterrupted("interrupted")
        if watch is not None:
            watch(fraction, None)

    learned = dict(constant)
    if learning:
        device, settings = select_device(tasks[0].device), tasks[0].settings
        seeds = [brick.task.settings.seed for brick in learning]
        try:
            results = fit_bricks([brick.volume for brick in learning], settings, device, seeds, check)
        except FitDiverged as error:
            raise FitDiverged(error.step, learning[error.brick or 0].task.brick) from error
        for brick, trained in zip(learning, results, strict=True):
            fields = Fields.of_volume(brick.volume)
            probe = Probe(brick.volume, device, brick.task.settings.seed)
            judge = Judge(brick.volume, brick.task.settings, fields, probe, quiet=True, region=brick.region)
            model = judge.judge(trained.network, lambda: check(1.0))
            save_field(brick.output, fields.of(model.stored.network), half=model.stored.half)
            cost = {
                "steps": trained.steps,
                "points": trained.points,
                "parameters": trained.network.parameter_count(),
            }
            learned[brick.task.brick] = Learned.of({**cost, **model.metrics.to_dict()})
    share = 1.0 / len(bricks)
    return [brick.summary(found, share) for brick in bricks if (found := learned[brick.task.brick]) is not None]
