# SPDX-License-Identifier: BSD-3-Clause
"""Time series: a network per time step, each beginning as what the one before has learned."""

from .fitting import fit_series
from .selection import parse_time

__all__ = ["fit_series", "parse_time"]
