# SPDX-License-Identifier: BSD-3-Clause
"""What a worker has to know to learn one brick, and what it says when it has."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from amgsrn_core.partition import Partition

from ..settings import FitSettings
from ..volumes import RawFormat
from ..volumes.region import Region
from ..volumes.volume import Range


@dataclass(frozen=True)
class BrickTask:
    """One brick to learn. Equal tasks give equal bits on equal machines, whichever worker does them.

    Attributes:
        brick: its number.
        input: absolute path of the volume's file.
        variables, time: as for `VolumeReader.read`.
        name: of the array; the file's if None.
        partition: of the volume.
        settings: of the fit, with this brick's own seed and goals.
        spans: of the values of each component in the whole volume, where `settings.target_psnr` is in units of them.
        device: where to train.
        checkpoint_interval: seconds.
        raw: what the file holds if it has nothing but numbers.
    """

    brick: int
    input: str
    variables: tuple[str, ...]
    time: int | None
    name: str | None
    partition: Partition
    settings: FitSettings
    spans: tuple[float, ...] | None = None
    device: str = "cpu"
    checkpoint_interval: float = 10.0
    raw: RawFormat | None = None

    @property
    def extent(self) -> Region:
        """First and last node along x, y, z of what the network learns."""
        return self.partition.extent(self.brick)

    @property
    def own(self) -> Region:
        """The nodes along x, y, z that belong to this brick alone, over which its errors are counted: together, those
        of all bricks are the volume's."""
        x, y, z = (
            (math.ceil(low), math.ceil(high) - (1 if high < nodes - 1 else 0))
            for (low, high), nodes in zip(self.partition.core(self.brick), self.partition.dimensions, strict=True)
        )
        return (x, y, z)


@dataclass(frozen=True)
class BrickSummary:
    """What is known about a finished brick; JSON-ready by `to_dict`.

    Attributes:
        brick: its number.
        kind: 'amgsrn', or 'constant' where there was nothing to learn.
        valid: number of its own nodes with a value.
        counted: number of nodes over which its errors are: the same, but for meshes, whose own nodes count.
        ranges: (lowest, highest) valid value of each component in its extent; empty if there is none.
        rmse: root mean square error of each component over its own nodes, data units.
        max_abs_error: likewise.
        parameters, steps, points: of its fit.
        seconds, cpu_seconds: what it took, all runs of it, reading included.
        bytes_read: of values decoded for it, whole chunks.
        bytes_needed: of its values in the file's type.
        peak_memory: most that its process has held so far, bytes.
        fingerprint: of its values.
        psnr_db: over its own nodes, with its own range; None where perfect.
        target_reached: False if it had a target and missed it.
        wall: seconds of all runs of the ensemble when it was finished.
    """

    brick: int
    kind: str
    valid: int
    counted: int
    ranges: tuple[Range, ...]
    rmse: tuple[float, ...]
    max_abs_error: tuple[float, ...]
    parameters: int
    steps: int
    points: int
    seconds: float
    cpu_seconds: float
    bytes_read: int
    bytes_needed: int
    peak_memory: int
    fingerprint: str
    psnr_db: float | None = None
    target_reached: bool = True
    wall: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description, inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BrickSummary:
        """Inverse of `to_dict`.

        Raises:
            TypeError, ValueError, KeyError: entries that do not describe a brick.
        """
        ranges = tuple((float(low), float(high)) for low, high in data["ranges"])
        lists = {key: tuple(float(value) for value in data[key]) for key in ("rmse", "max_abs_error")}
        return cls(**{**data, "ranges": ranges, **lists})
