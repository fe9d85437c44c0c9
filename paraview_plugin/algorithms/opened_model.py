# SPDX-License-Identifier: BSD-3-Clause
"""A model file as the reader sees it: what its header says, and its field at a time when that is asked for."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch comes with it, and takes seconds; nothing is imported before a file is opened
    from amgsrn_core import ArrayInfo, Domain, Field
    from amgsrn_core.storage import ModelHeader


@dataclass(frozen=True)
class Moment:
    """Where in a model's time something is wanted.

    Attributes:
        time: of the data; None where the model has none.
        interpolate: whether it lies between two steps, and their values are to be interpolated.
    """

    time: float | None
    interpolate: bool = False


class OpenedModel:
    """A model file: its header at once, its networks when first needed.

    Attributes:
        path: absolute, as it was given.
        stamp: of the file's content, by the time it was written and its size.
        domain: where, and when, the field lives.
        array: what its values are.
        has_gaps: whether there are places, at some time, where there is nothing.
        about: what it is made of, for people, a line each.
    """

    def __init__(self, path: str, stamp: str) -> None:
        from amgsrn_core import read_header

        header = read_header(path)
        self.path = path
        self.stamp = stamp
        self.domain: Domain = header.domain
        self.array: ArrayInfo = header.array
        self.has_gaps: bool = header.tree.has_gaps
        self.about: list[str] = _about(header)

    @classmethod
    def of(cls, path: str | None, opened: OpenedModel | None) -> OpenedModel:
        """The model as it is on disk now: the one that is open already, unless the file has changed since.

        Raises:
            ModelFileError: it cannot be opened.
        """
        from amgsrn_core.errors import ModelFileMissing

        if path is None:
            raise ModelFileMissing("", "no file name is set")
        path = os.path.abspath(path)
        try:
            status = os.stat(path)
        except OSError as error:
            raise ModelFileMissing(path, (error.strerror or "no such file").lower()) from error
        stamp = f"{status.st_mtime_ns}-{status.st_size}"
        if opened is not None and (opened.path, opened.stamp) == (path, stamp):
            return opened
        return cls(path, stamp)

    @property
    def steps(self) -> tuple[float, ...]:
        """Times of the steps; a single one for data that has a time, none for data without."""
        return self.domain.times or (() if self.domain.time is None else (self.domain.time,))

    def moment(self, time: float | None, interpolate: bool) -> Moment:
        """What the model has for a time: that of the nearest step, or one between two steps.

        Args:
            time: asked for; None for the first step.
            interpolate: whether a time between two steps means something else than the nearer of them.
        """
        steps = self.steps
        if not steps:
            return Moment(None)
        if time is None:
            return Moment(steps[0])
        nearest = min(steps, key=lambda step: abs(step - time))
        if not interpolate or time == nearest or not steps[0] < time < steps[-1]:
            return Moment(nearest)
        return Moment(time, True)

    def field(self, moment: Moment) -> Field:
        """The field at that time."""
        from ..open_models import open_model

        return open_model(self.path, self.stamp).at(moment.time, moment.interpolate)

    def descriptor(self, moment: Moment) -> str:
        """What consumers find in the data; see docs/architecture.md."""
        entries: dict[str, Any] = {"file": self.path, "array": self.array.name, "stamp": self.stamp}
        if len(self.steps) > 1:
            entries |= {"time": moment.time, "interpolate": moment.interpolate}
        return json.dumps(entries)


def _about(header: ModelHeader) -> list[str]:
    tree, components = header.tree, header.array.components
    nodes, missing = math.prod(header.domain.dimensions) * (tree.steps or 1), _missing(header)
    lines = {
        f"{' x '.join(map(str, header.domain.dimensions))} nodes": True,
        f"{components} components": components > 1,
        f"{missing} nodes without a value ({100 * missing / nodes:.1f} %)": missing > 0,
        f"{tree.steps} time steps": tree.steps,
        f"{' x '.join(map(str, tree.bricks or ()))} bricks": tree.bricks,
        f"{tree.parameters} parameters": True,
    }
    return [line for line, holds in lines.items() if holds]


def _missing(header: ModelHeader) -> int:
    """Nodes of the source without a value, of all time steps; 0 where the file does not say it: `training` is of free form."""
    source = header.training.get("source")
    missing = source.get("missing") if isinstance(source, dict) else None
    return missing if isinstance(missing, int) else 0
