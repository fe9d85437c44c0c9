# SPDX-License-Identifier: BSD-3-Clause
"""Reading a volume for a command: with progress, and saying what the user should know about it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from .progress import Display, say_on_stderr
from .volumes import RawFormat, Volume, open_volume


def read_volume(
    path: Path,
    variable: str | None = None,
    time: int | None = None,
    name: str | None = None,
    raw: RawFormat | None = None,
) -> Volume:
    """The volume; notes go to stderr.

    Args:
        path: its file.
        variable, time: as for `VolumeReader.read`.
        name: of the array, in place of the variable's, or of what the names of several have in common.
        raw: what the file holds if it has nothing but numbers.

    Raises:
        VolumeError: see `open_volume` and `VolumeReader.read`.
    """
    with open_volume(path, raw) as reader, Display("reading", 1000) as display:
        volume = reader.read(variable, time, progress=lambda fraction: display.update(int(1000 * fraction)))
    if name is not None:
        volume = replace(volume, name=name)
    for note in volume.notes:
        say_on_stderr(f"note: {note}")
    if volume.missing:
        nodes = math.prod(volume.shape)
        share = 100.0 * volume.missing / nodes
        say_on_stderr(
            f"note: {volume.missing:,} of {nodes:,} values are missing ({share:.1f} %); the model has gaps there"
        )
    return volume
