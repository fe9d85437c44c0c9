# SPDX-License-Identifier: BSD-3-Clause
"""When a fit with the fast recipe need not go through its whole schedule.

The paper multiplies the rate by 0.1 wherever the mean loss of many iterations has not improved for 500, and stops the
third time (section 5.2), so that bricks with little in them finish early. With the fast recipe's samples and rates that
costs 10 to 30 dB, just there: while the rate is high the loss of a nearly empty brick is mostly noise, in which any mean
has plateaus, and nearly all that its network gains it gains while the rate falls, slowly. docs/recipe.md has the figures.

So a plateau counts only where the noise is small enough to tell one: of what cannot be learned any better. It begins the
fall, which is as long as that of a run planned to end there. A network that is so good that nobody could see what is
missing begins it, too.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .recipes import FastRecipe
from .schedules import History

# The paper's: the mean loss of so many steps, which has to improve by this part within so many.
_WINDOW, _CHANGE, _PATIENCE = 1000, 1e-4, 500
# Standard error of that mean, as a part of it, up to which plateaus count.
_NOISE = 0.01
# Steps between two looks at the loss; a look makes a GPU wait.
LOOK_EVERY = 20
# Mean squared error, in units of the value range squared, of a network that is good enough at its full rate: 80 dB, and
# some 90 when the rate has fallen.
_ENOUGH = 1e-8


class EarlyStop:
    """Decides whether the learning rate falls earlier; losses in, the part of the schedule out.

    Args:
        recipe: whose schedule is to be shortened.
    """

    def __init__(self, recipe: FastRecipe) -> None:
        self._fall_start = recipe.fall_start
        self._means = History(_WINDOW // LOOK_EVERY)
        self._sum = torch.zeros(())
        self._count = 0
        self._best, self._since = math.inf, 0
        # The part of the schedule that was done when the fall began early.
        self._begun: float | None = None

    def fraction(self, scheduled: float) -> float:
        """The part of the schedule to be taken for done where, by steps and time, `scheduled` is; 1 is the end."""
        if self._begun is None:
            return scheduled
        return min(1.0, self._fall_start * scheduled / self._begun)

    def record(self, loss: torch.Tensor, bias: float, scheduled: float, resting: bool) -> None:
        """Take a step into account.

        Args:
            loss: of the step, a scalar.
            bias: of its sample, see `Sampler`.
            scheduled: the part of the schedule that was done before the step, by steps and time.
            resting: whether grids will not be moved any more: each move makes the loss jump up.
        """
        if self._begun is not None or scheduled >= self._fall_start:
            return
        self._sum = self._sum + loss
        self._count += 1
        if self._count % LOOK_EVERY:
            return
        self._means.append(float(self._sum) / LOOK_EVERY / bias)
        self._sum = torch.zeros_like(self._sum)
        if self._count < _WINDOW:
            return
        means = self._means.state()
        mean, noise = float(means.mean()), float(means.std()) / math.sqrt(len(means))
        if not resting or noise > _NOISE * mean:
            self._best, self._since = math.inf, self._count
        elif mean < self._best * (1.0 - _CHANGE):
            self._best, self._since = mean, self._count
        if mean < _ENOUGH or self._count - self._since >= _PATIENCE:
            self._begun = scheduled

    def state(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {
            "means": self._means.state().tolist(),
            "mean_count": self._means.count,
            "sum": float(self._sum),
            "count": self._count,
            "best": None if math.isinf(self._best) else self._best,
            "since": self._since,
            "begun": self._begun,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._means.restore(state["means"], int(state["mean_count"]))
        self._sum, self._count = torch.tensor(float(state["sum"])), int(state["count"])
        self._best = math.inf if state["best"] is None else float(state["best"])
        self._since = int(state["since"])
        self._begun = None if state["begun"] is None else float(state["begun"])
