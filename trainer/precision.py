# SPDX-License-Identifier: BSD-3-Clause
"""Features as float16: half the file, where that costs next to nothing."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch

from amgsrn_core.models import AMGSRN

from .probe import Probe

# A loss of PSNR, in dB, that nobody would see.
FREE_DB = 0.05


@dataclass(frozen=True)
class Stored:
    """A network as a file holds it.

    Attributes:
        network: with features as they are when read back.
        half: whether they are float16.
        half_costs_db: what float16 costs, or would cost; None where that was not asked or is not defined.
    """

    network: AMGSRN
    half: bool
    half_costs_db: float | None


def rounded(network: AMGSRN) -> AMGSRN:
    """A copy with features rounded to float16."""
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied.grids.copy_(network.grids.half())
    return copied


def choose_precision(network: AMGSRN, wanted: str, must_be_half: bool, probe: Probe | None) -> Stored:
    """A copy of the network as it is to be stored.

    Args:
        network: as trained; training may go on with it.
        wanted: 'half', 'single', or 'auto' for half where that costs less than FREE_DB.
        must_be_half: 'auto' has no choice, because the file would become too large.
        probe: measures the cost; None for a constant volume, whose network does not matter.
    """
    if wanted == "single":
        return Stored(copy.deepcopy(network), False, None)
    smaller = rounded(network)
    finite = bool(torch.isfinite(smaller.grids).all())
    if probe is None:
        return Stored(smaller, True, None)
    cost = probe.psnr(network) - probe.psnr(smaller) if finite else math.inf
    # Adding 0 makes a rounded -0.0 a 0.0.
    known = round(cost, 4) + 0.0 if math.isfinite(cost) else None
    if finite and (wanted == "half" or must_be_half or cost < FREE_DB):
        return Stored(smaller, True, known)
    return Stored(copy.deepcopy(network), False, known)
