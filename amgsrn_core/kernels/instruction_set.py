# SPDX-License-Identifier: BSD-3-Clause
"""Which instruction set the compiled kernels use: the best that the processor has, or the one that the environment
variable AMGSRN_INSTRUCTION_SET names, for tests and measurements."""

from __future__ import annotations

import ctypes
import os

from ..errors import KernelsUnavailable

VARIABLE = "AMGSRN_INSTRUCTION_SET"


def available(library: ctypes.CDLL) -> list[str]:
    """Names of the instruction sets that the library holds and this processor has, the plainest first."""
    library.amgsrn_instruction_sets.restype = ctypes.c_char_p
    names: str = library.amgsrn_instruction_sets().decode()
    return names.split(",")


def use(library: ctypes.CDLL, name: str | None) -> None:
    """Restrict the kernels to one of `available`, or to none (the best is used again); none of them may be running.

    Raises:
        KernelsUnavailable: there is no such instruction set here.
    """
    if library.amgsrn_use_instruction_set(None if name is None else name.encode()):
        raise KernelsUnavailable(str(name), f"choose one of: {', '.join(available(library))}", VARIABLE)


def use_wanted(library: ctypes.CDLL) -> None:
    """Restrict the kernels to what AMGSRN_INSTRUCTION_SET says, if it says anything.

    Raises:
        KernelsUnavailable: see `use`.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted:
        use(library, wanted)
