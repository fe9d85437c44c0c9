# SPDX-License-Identifier: BSD-3-Clause
"""Settings and fixtures for the tests of amgsrn_core."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amgsrn_core.kernels import cpu, instruction_set

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file

LIBRARY, _ = cpu.load()


@pytest.fixture(params=instruction_set.available(LIBRARY) if LIBRARY is not None else [])
def restricted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The compiled kernels restricted to one instruction set, with several threads."""
    monkeypatch.setenv("AMGSRN_KERNELS", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    instruction_set.use(LIBRARY, request.param)
    yield request.param
    instruction_set.use(LIBRARY, os.environ.get(instruction_set.VARIABLE) or None)
