# SPDX-License-Identifier: BSD-3-Clause
"""Fits in several parts: `OUT.amgsrn.parts/` holds what is finished, so that a run that was killed loses only the parts
it was working on.

The folder belongs to one fit (`identity.json`), and to one run at a time (`lock`). It goes when everything is in the
output, and when a run is refused before there are any parts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from amgsrn_core import read_header
from amgsrn_core.errors import AmgsrnError, ModelFileError, ModelNotWritable
from amgsrn_core.storage import write_atomically

from .errors import CheckpointMismatch, FitInterrupted, OutputNotWritable
from .locks import locked
from .settings import difference

_SUFFIX = ".parts"
_IDENTITY = "identity.json"
_LOCK = "lock"


def parts_folder(output: Path) -> Path:
    """Where the parts of an output are."""
    return output.with_name(output.name + _SUFFIX)


def identity_before(output: Path) -> dict[str, Any]:
    """The identity of the fit whose parts are there, else of the one that has made the output; empty where there is
    neither, or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return dict(json.loads((parts_folder(output) / _IDENTITY).read_text(encoding="utf-8"))["identity"])
    with contextlib.suppress(ModelFileError, ValueError, TypeError, KeyError):
        return dict(read_header(output).training["identity"])
    return {}


def refuse_parts(output: Path, overwrite: bool) -> None:
    """Make sure that a fit in one piece is not in the way of one in parts.

    Args:
        output: of the fit.
        overwrite: throw those parts away.

    Raises:
        CheckpointMismatch: there are parts.
        OutputBusy: another run is at work in them.
    """
    if not parts_folder(output).exists():
        return
    if not overwrite:
        raise CheckpointMismatch(parts_folder(output), "one in several parts")
    with PartsFolder(output, {}, overwrite=True) as parts:
        parts.remove()


class PartsFolder:
    """The folder of one output, while a run works in it; a context manager.

    Attributes:
        path: the folder.

    Args:
        output: the model that is to be made.
        identity: JSON-ready description of the fit.
        overwrite: throw away parts of another fit.

    Raises:
        OutputBusy: another run is at work in it.
        CheckpointMismatch: it holds parts of another fit.
        OutputNotWritable: it cannot be made.
    """

    def __init__(self, output: Path, identity: dict[str, Any], overwrite: bool = False) -> None:
        self.path = parts_folder(output)
        self._output = output
        self._identity = json.loads(json.dumps(identity))
        self._overwrite = overwrite
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(exist_ok=True)
            self._lock = locked(self.path / _LOCK, self._output)
        except OSError as error:
            raise OutputNotWritable(self.path, error.strerror or str(error)) from error
        try:
            self._check_identity()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        refused = isinstance(error, AmgsrnError) and not isinstance(error, FitInterrupted)
        if refused and self._holds_nothing():
            # An option that made no sense, say: it must not be in the way of the next command.
            self.remove()
        self._give_back()

    def part(self, name: str) -> Path:
        """Where a part of that name is, or will be."""
        return self.path / name

    def remove(self) -> None:
        """Remove the folder: everything is in the output."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.path)

    def _holds_nothing(self) -> bool:
        try:
            return not any(map(_is_worth_keeping, self.path.iterdir()))
        except OSError:
            return False  # it is gone already, or cannot be looked into

    def _give_back(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check_identity(self) -> None:
        file = self.path / _IDENTITY
        if file.exists():
            reason = self._difference(file)
            if not reason:
                return
            if not self._overwrite:
                raise CheckpointMismatch(self.path, reason)
            self._clear()
        elif any(entry.name != _LOCK and not _is_unfinished(entry) for entry in self.path.iterdir()):
            if not self._overwrite:
                raise CheckpointMismatch(self.path, "it does not say which")
            self._clear()
        try:
            write_atomically(file, json.dumps({"identity": self._identity}).encode())
        except ModelNotWritable as error:
            raise OutputNotWritable(self.path, str(error.__cause__ or error)) from error

    def _difference(self, file: Path) -> str:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            return difference(found["identity"], self._identity)
        except (OSError, ValueError, TypeError, KeyError):
            return "it cannot be read"

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.name != _LOCK:
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _is_worth_keeping(path: Path) -> bool:
    """Whether it is a part, or one on its way; neither what was noted before nor values that were read."""
    return path.name != _LOCK and path.suffix not in (".json", ".npy") and not _is_unfinished(path)


def _is_unfinished(path: Path) -> bool:
    """Whether it is a file that was being written when a run was killed, see `atomic_path`."""
    return path.name.startswith(".") and path.suffix == ".part"
