# SPDX-License-Identifier: BSD-3-Clause
"""One run at a time for each output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from .errors import OutputBusy


def locked(path: Path, output: Path) -> int:
    """An open file with a lock on it, which ends with the process, however that ends.

    Args:
        path: the file to lock, in a folder that whoever has the lock may remove.
        output: what is made, for the message.

    Raises:
        OutputBusy: another process has the lock.
        OSError: the file cannot be made.
    """
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.read(lock, 200).decode(errors="replace").strip() or "it does not say which"
            os.close(lock)
            raise OutputBusy(output, who) from error
        except OSError:
            # A file system without locks: better no lock than no result.
            return lock
        # Whoever had it before may have removed the folder since we opened the file.
        if _is_same(lock, path):
            # Who it is helps others, but a full disk is not in the way.
            with contextlib.suppress(OSError):
                os.ftruncate(lock, 0)
                os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return lock
        os.close(lock)
        path.parent.mkdir(exist_ok=True)


def _is_same(lock: int, path: Path) -> bool:
    try:
        return os.fstat(lock).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
