# SPDX-License-Identifier: BSD-3-Clause
"""How much of a schedule is done, by steps and by time."""

from __future__ import annotations

from dataclasses import dataclass

# However short the time, this many steps are made: fewer give nothing that resembles a volume.
LEAST_STEPS = 50


@dataclass(frozen=True)
class Budget:
    """What a schedule may take; whichever ends first ends it.

    Attributes:
        steps: optimiser steps; None for any number.
        seconds: wall time; None for any.
    """

    steps: int | None
    seconds: float | None

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError("a schedule without an end")

    def fraction(self, step: int, seconds: float) -> float:
        """The part that is done, 0 to 1, after so many steps in so many seconds; never falls when neither does."""
        by_steps = by_time = 0.0
        if self.steps is not None:
            by_steps = step / self.steps if self.steps else 1.0
        if self.seconds is not None:
            by_time = min(seconds / self.seconds if self.seconds > 0 else 1.0, step / LEAST_STEPS)
        return min(1.0, max(by_steps, by_time))
