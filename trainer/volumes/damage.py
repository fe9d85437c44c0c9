# SPDX-License-Identifier: BSD-3-Clause
"""What a library says about a damaged file becomes one clear line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import VolumeFileDamaged


@contextlib.contextmanager
def damage_reported(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Around calls of a library that reads `path`; `errors` are its own classes of them.

    Raises:
        VolumeFileDamaged: the library found something wrong.
    """
    known: tuple[type[Exception], ...] = (OSError, RuntimeError, IndexError, KeyError, ValueError, EOFError, *errors)
    try:
        yield
    except known as error:
        reason = str(error).split("\n")[0].replace(f": '{path}'", "")
        raise VolumeFileDamaged(path, reason or type(error).__name__) from error
