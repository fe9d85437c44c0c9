# SPDX-License-Identifier: BSD-3-Clause
"""The folder in which an ensemble grows, see `trainer.parts`. Besides what every such folder has it holds

    plan.json            the partition, and what later runs need not find out again
    brick-00007.amgsrn   a finished brick's model
    brick-00007.json     what is known about it; written last, so that with it the brick is finished
    brick-00009.amgsrn.checkpoint   of a brick on its way
    halo-00008-x.npy     values that a brick needs and a neighbour has read

Whatever is killed, and when, only bricks on their way are lost, and of those only what their checkpoints lack.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amgsrn_core.errors import InvalidPartition, ModelFileError
from amgsrn_core.partition import Partition
from amgsrn_core.storage import read_header, write_atomically

from ..parts import PartsFolder
from .task import BrickSummary


def brick_model(folder: Path, brick: int) -> Path:
    """Where the model of a brick is, or will be, in a folder of parts."""
    return folder / f"brick-{brick:05d}.amgsrn"


class Parts(PartsFolder):
    """The parts of one ensemble, while a run works on them."""

    def plan(self) -> tuple[Partition, dict[str, Any]] | None:
        """The partition of what is there already, and what else was noted; None where nothing was settled."""
        try:
            found = json.loads(self._plan.read_text(encoding="utf-8"))
            return Partition.from_dict(found["partition"], found["partition"]["dimensions"]), dict(found["notes"])
        except (OSError, ValueError, KeyError, TypeError, InvalidPartition):
            return None

    def settle(self, partition: Partition, notes: dict[str, Any]) -> None:
        """Note the partition, and what later runs of the same need not find out again. Bricks of a plan that got lost go.

        Raises:
            ModelNotWritable: no space, say.
        """
        for pattern in ("brick-*", "halo-*"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)
        cut = {**partition.to_dict(), "dimensions": list(partition.dimensions)}
        write_atomically(self._plan, json.dumps({"partition": cut, "notes": notes}).encode())

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
        return brick_model(self.path, brick)

    @property
    def _plan(self) -> Path:
        return self.part("plan.json")

    def _summary(self, brick: int) -> Path:
        return self.model(brick).with_suffix(".json")
