# SPDX-License-Identifier: BSD-3-Clause
"""Fields that are made of something, each in its own file: networks, constants, gaps, bricks, time steps."""

from .amgsrn import AMGSRN, AMGSRNConfig, AMGSRNField
from .constant import ConstantField
from .ensemble import EnsembleField
from .masked import Mask, MaskedField
from .series import SeriesField

__all__ = [
    "AMGSRN",
    "AMGSRNConfig",
    "AMGSRNField",
    "ConstantField",
    "EnsembleField",
    "Mask",
    "MaskedField",
    "SeriesField",
]
