# SPDX-License-Identifier: BSD-3-Clause
"""What is known of a volume before its values are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amgsrn_core import Domain


@dataclass(frozen=True)
class VolumeLayout:
    """Where nodes are, and how values are stored.

    Attributes:
        domain: of the whole volume; without a time where none was chosen of several.
        variables: as `VolumeReader.read` takes them.
        names: of the components.
        itemsize: bytes per value of the first variable in the file.
        chunks: nodes per chunk of the first variable along x, y, z; None for values in one piece.
        first_chunk: nodes of the first chunk along x, y, z, less than `chunks` where a descending axis was turned
            around and its chunks do not end with it.
        steps: number of time steps; None for a variable without time.
        times: of all steps, in `time_units`; None where the file does not say.
        time_units: their units.
        notes: what the user should know about the way it is read, one line each.
        units: of the components; empty where the file does not say.
    """

    domain: Domain
    variables: tuple[str, ...]
    names: tuple[str, ...]
    itemsize: int
    chunks: tuple[int, int, int] | None = None
    first_chunk: tuple[int, int, int] | None = None
    steps: int | None = None
    times: tuple[float, ...] | None = None
    time_units: str = ""
    notes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def components(self) -> int:
        """Values per node."""
        return len(self.names)

    def chunk_starts(self, axis: int) -> np.ndarray:
        """The nodes along an axis (0: x, 1: y, 2: z) at which chunks begin, ascending from 0, int64; every node for
        values in one piece."""
        count = self.domain.dimensions[axis]
        if self.chunks is None or self.first_chunk is None:
            return np.arange(count, dtype=np.int64)
        inner = np.arange(self.first_chunk[axis], count, self.chunks[axis], dtype=np.int64)
        return np.concatenate([np.zeros(1, dtype=np.int64), inner])
