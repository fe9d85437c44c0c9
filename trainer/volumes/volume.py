# SPDX-License-Identifier: BSD-3-Clause
"""A volume in memory: values on the nodes of a domain, and where they came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from amgsrn_core import Domain


@dataclass(frozen=True)
class VolumeSource:
    """Where a volume came from.

    Attributes:
        file: the file's name, without its folder.
        variable: the variable's name in it.
        time_index: the time step, counted from 0; None for a variable without time.
        bytes: size of the values as the file's type, uncompressed.
    """

    file: str
    variable: str
    time_index: int | None
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on the nodes of a domain.

    Attributes:
        values: float32 [z, y, x], contiguous; missing values are NaN, all others finite.
        domain: where the nodes are.
        units: of the values.
        value_range: (lowest, highest) valid value.
        valid: number of values that are not missing, at least 1.
        source: where it came from.
        notes: what the user should know about the way it was read, one line each.
    """

    values: np.ndarray
    domain: Domain
    units: str
    value_range: tuple[float, float]
    valid: int
    source: VolumeSource
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return self.values.size - self.valid

    def fingerprint(self) -> str:
        """A short hash of values, nodes and names; equal for equal volumes, whatever the file's name, place and
        compression."""
        about = {"domain": self.domain.to_dict(), "variable": self.source.variable, "units": self.units}
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
        digest.update(self.values.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()
