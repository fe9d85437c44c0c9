# SPDX-License-Identifier: BSD-3-Clause
"""Whether a result can be written, found out before the work and not after it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from .errors import OutputExists, OutputNotWritable

_MIB = 1 << 20


def check_writable(path: Path, needed: int = 0) -> None:
    """Make sure that a file can be created there.

    Args:
        path: the result.
        needed: bytes that will be written at one time.

    Raises:
        OutputNotWritable: no such folder, not allowed, not enough space, or the path is a folder.
    """
    folder = path.parent
    if path.is_dir():
        raise OutputNotWritable(path, "it is a folder", "add a file name")
    if not folder.exists():
        raise OutputNotWritable(path, f"there is no folder '{folder}'", "create it or choose another")
    if not folder.is_dir():
        raise OutputNotWritable(path, f"'{folder}' is not a folder")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=folder)
        os.close(handle)
        os.unlink(name)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputNotWritable(path, error.strerror or str(error)) from error
    if free < needed:
        reason = f"{needed / _MIB:.1f} MiB are needed, {free / _MIB:.1f} MiB are free"
        raise OutputNotWritable(path, reason, "free some space or choose another folder")


def check_replaceable(path: Path, overwrite: bool) -> None:
    """Make sure that a file can be created there, and that none is lost by it.

    Raises:
        OutputExists: there is one, and it may not be replaced.
        OutputNotWritable: see `check_writable`.
    """
    if path.exists() and not path.is_dir() and not overwrite:
        raise OutputExists(path, "a file")
    check_writable(path)
