# SPDX-License-Identifier: BSD-3-Clause
"""Settings for the tests of amgsrn_core."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file
