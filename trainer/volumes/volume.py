# SPDX-License-Identifier: BSD-3-Clause
"""A volume in memory: values on the nodes of a domain, and where they came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from amgsrn_core import ArrayInfo, Domain

from .mesh import Mesh

Range = tuple[float, float]


@dataclass(frozen=True)
class VolumeSource:
    """Where a volume came from.

    Attributes:
        file: the file's name, without its folder.
        variables: the variables' names in it, in the order of components (one for all those of a vector).
        time_index: the time step, counted from 0; None for a variable without time.
        bytes: size of the values as the file's type, uncompressed.
    """

    file: str
    variables: tuple[str, ...]
    time_index: int | None
    bytes: int

    @property
    def variable(self) -> str:
        """All variables as --variable takes them."""
        return ",".join(self.variables)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {"file": self.file, "variable": self.variable, "time_index": self.time_index, "bytes": self.bytes}


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on the nodes of a domain.

    Attributes:
        values: float32 [z, y, x, c], contiguous; the components of a missing value are all NaN, all others finite.
        domain: where the nodes are.
        name: of the array.
        units: of each component.
        ranges: (lowest, highest) valid value of each component.
        valid: number of nodes whose values are not missing, at least 1.
        source: where it came from.
        notes: what the user should know about the way it was read, one line each.
        mesh: the cells that the values were resampled from; None where they lie on the nodes themselves.
        scaling: the ranges that a network's outputs are in units of; `ranges` if None.
        component_names: where they are not the names of the variables: those of a vector's components.
    """

    values: np.ndarray
    domain: Domain
    name: str
    units: tuple[str, ...]
    ranges: tuple[Range, ...]
    valid: int
    source: VolumeSource
    notes: tuple[str, ...] = ()
    mesh: Mesh | None = None
    scaling: tuple[Range, ...] | None = None
    component_names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of nodes [z, y, x]."""
        z, y, x, _ = self.values.shape
        return (z, y, x)

    @property
    def components(self) -> int:
        """Values per node."""
        return self.values.shape[3]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each component."""
        return self.component_names or self.source.variables

    @property
    def missing(self) -> int:
        """Number of nodes whose values are missing."""
        return self.values.size // self.components - self.valid

    @property
    def output_ranges(self) -> tuple[Range, ...]:
        """The range of each component that is 0 to 1 for a network."""
        return self.scaling or self.ranges

    def array_info(self) -> ArrayInfo:
        """What a model's values are."""
        return array_info(self.name, self.names, self.units, self.ranges)

    def fingerprint(self) -> str:
        """A short hash of values, nodes and names; equal for equal volumes, whatever the file's name, place and
        compression."""
        about = {"domain": self.domain.to_dict(), "variable": self.source.variable, "units": list(self.units)}
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
        digest.update(self.values.reshape(-1).view(np.uint8).data)
        if self.mesh is not None:
            self.mesh.add_to(digest)
        return digest.hexdigest()


def array_info(name: str, names: tuple[str, ...], units: tuple[str, ...], ranges: tuple[Range, ...]) -> ArrayInfo:
    """What the values of an array are, from the names, units and ranges of its components."""
    unit = units[0] if len(set(units)) == 1 else ""
    lows, highs = zip(*ranges, strict=True)
    whole = (min(lows), max(highs))
    if len(ranges) == 1:
        return ArrayInfo(name, unit, whole)
    return ArrayInfo(name, unit, whole, len(ranges), names, ranges)
