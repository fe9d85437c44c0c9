# SPDX-License-Identifier: BSD-3-Clause
"""The folder in which an ensemble grows: `OUT.amgsrn.parts/` beside the output.

    identity.json        which volume, settings and partition
    lock                 held by the run that is at work here
    brick-00007.amgsrn   a finished brick's model
    brick-00007.json     what is known about it; written last, so that with it the brick is finished
    brick-00009.amgsrn.checkpoint   of a brick on its way
    halo-00008-x.npy     values that a brick needs and a neighbour has read

Whatever is killed, and when, only bricks on their way are lost, and of those only what their checkpoints lack.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from amgsrn_core.errors import ModelFileError
from amgsrn_core.partition import Partition
from amgsrn_core.storage import read_header, write_atomically

from ..errors import CheckpointMismatch, OutputNotWritable
from ..locks import locked
from ..settings import difference
from .task import BrickSummary

_SUFFIX = ".parts"


def parts_folder(output: Path) -> Path:
    """Where the parts of an output are."""
    return output.with_name(output.name + _SUFFIX)


class Parts:
    """The parts of one output; holds the folder's lock while open, as a context manager.

    Args:
        output: the model to be.
    """

    def __init__(self, output: Path) -> None:
        self.folder = parts_folder(output)
        self._output = output
        self._lock: int | None = None

    def __enter__(self) -> Parts:
        """
        Raises:
            OutputBusy: another run is at work.
            OutputNotWritable: the folder cannot be made.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = locked(self.folder / "lock", self._output)
        except OSError as error:
            raise OutputNotWritable(self.folder, error.strerror or str(error)) from error
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def begin(self, identity: dict[str, Any], overwrite: bool) -> Partition | None:
        """Make the folder that of one ensemble.

        Args:
            identity: JSON-ready description of volume and settings.
            overwrite: throw away the parts of another one.

        Returns:
            The partition of what is there already; None in a new folder, see `settle`.

        Raises:
            CheckpointMismatch: it is another ensemble's.
        """
        try:
            found = json.loads(self._identity.read_text(encoding="utf-8"))
            before, partition = dict(found["identity"]), found["partition"]
            cut = Partition.from_dict(partition, partition["dimensions"])
        except FileNotFoundError:
            self._clear()
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            if not overwrite:
                raise CheckpointMismatch(self.folder, f"its identity.json is unreadable: {error}") from error
            self._clear()
            return None
        reason = difference(before, json.loads(json.dumps(identity)))
        if not reason:
            return cut
        if not overwrite:
            raise CheckpointMismatch(self.folder, reason)
        self._clear()
        return None

    def settle(self, identity: dict[str, Any], partition: Partition) -> None:
        """Say which ensemble a new folder is for."""
        cut = {**partition.to_dict(), "dimensions": list(partition.dimensions)}
        write_atomically(self._identity, json.dumps({"identity": identity, "partition": cut}).encode())

    def finished(self, partition: Partition) -> dict[int, BrickSummary]:
        """What is known about the bricks that are finished, by their numbers."""
        found = {}
        for brick in range(partition.count):
            try:
                summary = BrickSummary.from_dict(json.loads(self._summary(brick).read_text(encoding="utf-8")))
                read_header(self.model(brick))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError, ModelFileError):
                # Damaged: as if it had never been.
                self._summary(brick).unlink(missing_ok=True)
                continue
            found[brick] = summary
        return found

    def accept(self, summary: BrickSummary, content: bytes | None = None) -> None:
        """Keep a finished brick.

        Args:
            summary: of it.
            content: its model file; None where a worker has written it already.

        Raises:
            ModelNotWritable: no space, say.
        """
        if content is not None:
            write_atomically(self.model(summary.brick), content)
        write_atomically(self._summary(summary.brick), json.dumps(summary.to_dict()).encode())

    def model(self, brick: int) -> Path:
        """A brick's model file."""
        return self.folder / f"brick-{brick:05d}.amgsrn"

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        # Summaries first: whatever is left when this is interrupted is no finished brick without its model.
        for path in self.folder.glob("brick-*.json"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _identity(self) -> Path:
        return self.folder / "identity.json"

    def _summary(self, brick: int) -> Path:
        return self.folder / f"brick-{brick:05d}.json"

    def _clear(self) -> None:
        self._identity.unlink(missing_ok=True)
        for pattern in ("brick-*", "halo-*", ".brick-*", ".halo-*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
