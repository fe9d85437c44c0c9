# SPDX-License-Identifier: BSD-3-Clause
"""When grids move and how learning rates fall: numbers in, numbers out, no tensors of the network. All of it can be
saved and restored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .recipes import PaperRecipe


def cosine(fraction: float) -> float:
    """From 1 at the beginning (0) to 0 at the end (1)."""
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


def late_fall(fraction: float, start: float) -> float:
    """1 until `start` (below 1), from there in a straight line to 0 at the end (1)."""
    return min(1.0, (1.0 - fraction) / (1.0 - start))


class History:
    """The last `length` numbers of a series, with sums over parts of them."""

    def __init__(self, length: int) -> None:
        self._ring = np.zeros(length, dtype=np.float64)
        self.count = 0

    def append(self, value: float) -> None:
        """Add the newest number."""
        self._ring[self.count % len(self._ring)] = value
        self.count += 1

    def mean(self, newest: int, skip: int = 0) -> float:
        """Mean of `newest` numbers, not counting the last `skip`; of fewer where there are not as many."""
        end = self.count - skip
        index = np.arange(max(0, end - newest), end) % len(self._ring)
        return float(self._ring[index].mean()) if len(index) else math.inf

    def state(self) -> np.ndarray:
        """What `restore` takes: float64 (length,)."""
        return self._ring

    def restore(self, ring: np.ndarray, count: int) -> None:
        """Continue from a saved state."""
        self._ring[:] = ring
        self.count = count


class GridWindow:
    """When the paper's density loss moves the grids: after a start, until they have converged or most steps are
    done."""

    def __init__(self, recipe: PaperRecipe, steps: int) -> None:
        self._recipe = recipe
        self._end = recipe.density_end * steps
        self.losses = History(2 * recipe.converge_window)
        self.stopped = False
        self._still = 0

    def is_open(self, step: int) -> bool:
        """Whether the grids move in this step."""
        if step >= self._end:
            self.stopped = True
        return not self.stopped and step > self._recipe.density_start

    def record(self, step: int, loss: float) -> None:
        """Take the density loss of a step into account."""
        self.losses.append(loss)
        window = self._recipe.converge_window
        if step < self._recipe.converge_start or self.losses.count < 2 * window:
            return
        before, now = self.losses.mean(window, skip=window), self.losses.mean(window)
        self._still = self._still + 1 if before - now < self._recipe.converge_change * before else 0
        self.stopped = self._still >= 2

    def state(self) -> dict[str, Any]:
        """JSON-ready state, but for the losses."""
        return {"stopped": self.stopped, "still": self._still, "count": self.losses.count}

    def restore(self, state: dict[str, Any], losses: np.ndarray) -> None:
        """Continue from a saved state."""
        self.stopped, self._still = bool(state["stopped"]), int(state["still"])
        self.losses.restore(losses, int(state["count"]))


class Plateau:
    """A factor on the learning rate, reduced when a running mean of the loss has not fallen for a while.

    The same as torch.optim.lr_scheduler.ReduceLROnPlateau (relative threshold), on numbers only.
    """

    def __init__(self, recipe: PaperRecipe) -> None:
        self._recipe = recipe
        self.losses = History(recipe.plateau_window)
        self.factor = 1.0
        self._best = math.inf
        self._bad = 0
        self._cooldown = 0

    def record(self, loss: float) -> None:
        """Take the loss of a step into account, without deciding anything."""
        self.losses.append(loss)

    def step(self) -> None:
        """Decide about the factor."""
        mean = self.losses.mean(self._recipe.plateau_window)
        if mean < self._best * (1.0 - self._recipe.plateau_change):
            self._best, self._bad = mean, 0
        else:
            self._bad += 1
        if self._cooldown > 0:
            self._cooldown -= 1
            self._bad = 0
        if self._bad > self._recipe.plateau_patience:
            self.factor *= self._recipe.plateau_factor
            self._cooldown, self._bad = self._recipe.plateau_cooldown, 0

    @property
    def finished(self) -> bool:
        """Whether the rate has fallen as far as it is to fall."""
        return self.factor < self._recipe.finish_rate * (1.0 - 1e-9)

    def state(self) -> dict[str, Any]:
        """JSON-ready state, but for the losses."""
        best = None if math.isinf(self._best) else self._best
        return {
            "factor": self.factor,
            "best": best,
            "bad": self._bad,
            "cooldown": self._cooldown,
            "count": self.losses.count,
        }

    def restore(self, state: dict[str, Any], losses: np.ndarray) -> None:
        """Continue from a saved state."""
        self.factor = float(state["factor"])
        self._best = math.inf if state["best"] is None else float(state["best"])
        self._bad, self._cooldown = int(state["bad"]), int(state["cooldown"])
        self.losses.restore(losses, int(state["count"]))
