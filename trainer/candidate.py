# SPDX-License-Identifier: BSD-3-Clause
"""A model as it would be stored, with its errors."""

from __future__ import annotations

from dataclasses import dataclass

from .metrics import Metrics
from .precision import Stored


@dataclass(frozen=True)
class Candidate:
    """A measured model.

    Attributes:
        stored: the network as its file will hold it.
        metrics: of exactly that network.
    """

    stored: Stored
    metrics: Metrics

    def reaches(self, target_db: float) -> bool:
        """Whether its PSNR is at least this."""
        return self.metrics.rmse == 0 or (self.metrics.psnr_db is not None and self.metrics.psnr_db >= target_db)

    def better_than(self, other: Candidate | None) -> bool:
        """Whether its error is smaller."""
        return other is None or self.metrics.error < other.metrics.error
