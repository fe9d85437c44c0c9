# SPDX-License-Identifier: BSD-3-Clause
"""Whether a volume is learned whole or brick by brick, and with what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amgsrn_core.threads import thread_count

from ..checkpoint import checkpoint_path
from ..errors import InvalidOption
from ..parts import identity_before
from ..presets import PRESETS
from ..settings import FitSettings
from .choice import DEFAULT_OVERLAP, Resources, Triple, fits_comfortably
from .fit import EnsembleOptions, Source
from .memory import memory_to_use


@dataclass(frozen=True)
class Wishes:
    """What the user asks for about bricks; None: nothing.

    Attributes:
        bricks: along x, y and z.
        overlap: see `EnsembleOptions`.
        workers: bricks at a time.
        scheduler: of a Dask cluster.
        memory: bytes of all processes together, or of each worker of a cluster.
        only: bricks to finish.
        log: see `Journal`.
    """

    bricks: Triple | None = None
    overlap: float | None = None
    workers: int | None = None
    scheduler: str | None = None
    memory: int | None = None
    only: tuple[int, ...] | None = None
    log: Path | None = None


def make_plan(
    source: Source, output: Path, settings: FitSettings, devices: Sequence[str], wishes: Wishes
) -> EnsembleOptions | None:
    """How to fit an ensemble, or None where one network does.

    One does where the volume fits into half of the memory, and nobody asks for bricks or workers. What was begun one way
    goes on that way.

    Raises:
        InvalidOption: numbers that make no sense.
        SchedulerUnavailable: there is none.
    """
    overlap = DEFAULT_OVERLAP if wishes.overlap is None else wishes.overlap
    if not 0 <= overlap < float("inf"):
        raise InvalidOption(f"--ghost {overlap:g} makes no sense; give a number of nodes from 0")
    if wishes.workers is not None and wishes.workers < 1:
        raise InvalidOption(f"--workers {wishes.workers} makes no sense; give a whole number from 1")
    resources = _resources(settings, devices, wishes)
    if not _in_bricks(source, output, resources, wishes):
        return None
    return EnsembleOptions(
        wishes.bricks, overlap, tuple(devices), resources, wishes.scheduler, only=wishes.only, log=wishes.log
    )


def parse_bricks(text: str) -> Triple:
    """The numbers of bricks along x, y and z.

    Raises:
        InvalidOption: it is something else.
    """
    numbers = parse_numbers("--bricks", text)
    if len(numbers) != 3 or min(numbers) < 1:
        raise InvalidOption(
            f"--bricks {text} makes no sense; write auto, or three numbers from 1 for x, y and z: 4,4,2"
        )
    return (numbers[0], numbers[1], numbers[2])


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas.

    Raises:
        InvalidOption: it is something else.
    """
    if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", text, re.ASCII):
        raise InvalidOption(f"{option} {text} makes no sense; write whole numbers separated by commas")
    return tuple(int(number) for number in text.split(","))


def _resources(settings: FitSettings, devices: Sequence[str], wishes: Wishes) -> Resources:
    parameters, shared = _parameters(settings), settings.target_size is not None
    if wishes.scheduler is not None:
        from .cluster import capacity

        threads, memory = capacity(wishes.scheduler)
        limit = wishes.memory or memory or memory_to_use()
        return Resources(limit, wishes.workers or threads, True, parameters, elsewhere=True, shared=shared)
    workers = wishes.workers or (thread_count() if devices[0] == "cpu" else len(devices))
    asked = wishes.workers is not None or len(devices) > 1
    return Resources(wishes.memory or memory_to_use(), workers, asked, parameters, shared=shared)


def _parameters(settings: FitSettings) -> int:
    """Of a network, about; with a target size, of all together."""
    if settings.target_size is not None:
        return settings.target_size // 2
    return PRESETS[settings.preset or "small"].config(settings.transform).parameter_count()


def _in_bricks(source: Source, output: Path, resources: Resources, wishes: Wishes) -> bool:
    if wishes.bricks is not None or wishes.scheduler is not None or wishes.only is not None:
        return wishes.bricks != (1, 1, 1) or wishes.scheduler is not None or wishes.only is not None
    before = identity_before(output)
    if before:
        return "bricks" in before
    if checkpoint_path(output).exists():
        return False
    return not fits_comfortably(source.grid, resources) or (resources.asked and resources.workers > 1)
