# SPDX-License-Identifier: BSD-3-Clause
"""Files that are either there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import ModelNotWritable


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`; what was written there takes the place of `path` when the block ends well.

    When it fails, the temporary file is removed and whatever was at `path` is untouched.

    Raises:
        ModelNotWritable: the folder is missing or read-only, or the disk is full.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise ModelNotWritable(target, error.strerror or str(error)) from error
    temporary = Path(name)
    try:
        yield temporary
        _publish(temporary, target)
    except OSError as error:
        raise ModelNotWritable(target, error.strerror or str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, all or nothing, and make it durable.

    Raises:
        ModelNotWritable: see `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _publish(temporary: Path, target: Path) -> None:
    # mkstemp makes files private; a model has the permissions any other new file would have.
    mask = os.umask(0)
    os.umask(mask)
    with temporary.open("rb+") as file:
        os.fchmod(file.fileno(), 0o666 & ~mask)
        os.fsync(file.fileno())
    os.replace(temporary, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
