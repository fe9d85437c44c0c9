# SPDX-License-Identifier: BSD-3-Clause
"""Fields that are made of something: networks today, each in its own file."""

from .amgsrn import AMGSRN, AMGSRNConfig, AMGSRNField

__all__ = ["AMGSRN", "AMGSRNConfig", "AMGSRNField"]
