# SPDX-License-Identifier: BSD-3-Clause
"""What each brick has to do so that all together reach the goals of the whole."""

from __future__ import annotations

import math
from dataclasses import replace

from ..errors import TargetSizeTooSmall
from ..recipes import FastRecipe
from ..settings import FitSettings

# Of a model's file, besides the bricks: domain, settings, identity.
_FILE_BYTES = 16384


def brick_settings(settings: FitSettings, brick: int, count: int, workers: int) -> FitSettings:
    """The settings of one brick.

    Its seed is its own. A size is shared out among all bricks. A time is that of all training together: each worker
    spends it on one brick after the other. A target in dB is the same for all, and made one of the brick's own range
    when its values are known. With the fast recipe, bricks in which nothing is left to be learned end early.

    Args:
        settings: of the whole.
        brick: its number.
        count: of bricks.
        workers: how many are learned at a time.

    Raises:
        TargetSizeTooSmall: nothing is left for a brick.
    """
    size, seconds = settings.target_size, settings.time_budget
    if size is not None:
        if size <= _FILE_BYTES:
            raise TargetSizeTooSmall(size, _FILE_BYTES + count)
        size = (size - _FILE_BYTES) // count
    if seconds is not None:
        seconds /= math.ceil(count / max(workers, 1))
    early_stop = settings.early_stop or (isinstance(settings.recipe, FastRecipe) and settings.target_psnr is None)
    settings = replace(settings, early_stop=early_stop)
    return replace(settings, seed=(settings.seed + brick) % 2**63, target_size=size, time_budget=seconds)
