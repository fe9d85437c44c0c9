# SPDX-License-Identifier: BSD-3-Clause
"""What samplers remember of where the network errs: a running mean of its error in each of some groups of places."""

from __future__ import annotations

import numpy as np

# Steps between two looks, and places looked at each time: 2 % of the time of the small network.
_EVERY, _FIRST = 200, 100
PLACES = 1 << 15
# How samples follow the error: as a power of the mean squared error.
_POWER = 0.5
# Weight of the newest look in the running mean.
_NEWEST = 0.5


class ErrorMap:
    """Mean squared errors, float32 (groups,) `errors`; all zero before anything is known.

    Args:
        groups: number of them.
    """

    def __init__(self, groups: int) -> None:
        self.errors = np.zeros(groups, dtype=np.float32)

    @staticmethod
    def is_due(step: int) -> bool:
        """Whether it is time to look at the network."""
        return step % _EVERY == _FIRST

    @property
    def known(self) -> bool:
        """Whether there is any error to follow."""
        return bool(self.errors.any())

    def learn(self, found: np.ndarray) -> None:
        """Take new errors (groups,) into account; 0 where nothing was looked at."""
        # Groups of which nothing was looked at must not be forgotten.
        found = np.where(found == 0.0, found.mean(), found)
        weight = _NEWEST if self.known else 1.0
        self.errors += np.float32(weight) * (found.astype(np.float32) - self.errors)

    def attraction(self) -> np.ndarray:
        """How many times as likely places of each group are as they would be otherwise, float64 (groups,)."""
        return self.errors.astype(np.float64) ** _POWER if self.known else np.ones(self.errors.size)
