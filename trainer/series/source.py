# SPDX-License-Identifier: BSD-3-Clause
"""The time steps of a file that are to be learned."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..errors import InvalidOption
from ..volumes import RawFormat, open_volume
from ..volumes.layout import VolumeLayout
from .selection import select


@dataclass(frozen=True)
class Series:
    """Time steps in a file, not read yet.

    Attributes:
        path: of the file.
        variables: as `VolumeReader.read` takes them.
        name: of the array; the reader's if None.
        layout: of all steps.
        steps: numbers of those that were chosen, ascending.
        fingerprints: of the first and the last of them, see `VolumeReader.fingerprint`.
        raw: see `open_volume`.
    """

    path: Path
    variables: str | None
    name: str | None
    layout: VolumeLayout
    steps: tuple[int, ...]
    fingerprints: tuple[str, ...]
    raw: RawFormat | None = None

    @classmethod
    def of(
        cls, path: Path, variables: str | None, chosen: slice, name: str | None = None, raw: RawFormat | None = None
    ) -> Series:
        """Look at a file.

        Raises:
            InvalidOption: it has no such steps.
            VolumeError: see `VolumeReader.layout`.
        """
        with open_volume(path, raw) as reader:
            layout = reader.layout(variables)
            if layout.steps is None:
                raise InvalidOption(f"'{','.join(layout.variables)}' has no time steps; leave out --time")
            steps = tuple(select(chosen, layout.steps))
            ends = dict.fromkeys((steps[0], steps[-1]))
            fingerprints = tuple(reader.fingerprint(variables, step) for step in ends)
            return cls(path, variables, name, layout, steps, fingerprints, raw)

    @property
    def times(self) -> tuple[float, ...]:
        """The times of the steps, or their numbers where the file does not order them by time."""
        known = self.layout.times
        times = tuple(float(step if known is None else known[step]) for step in self.steps)
        return times if all(a < b for a, b in pairwise(times)) else tuple(map(float, self.steps))
