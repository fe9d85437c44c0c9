# SPDX-License-Identifier: BSD-3-Clause
"""Volumes of arrays, for tests."""

from __future__ import annotations

import numpy as np

from amgsrn_core import Axis, Domain
from trainer.volumes import Volume, VolumeSource


def make_volume(values: np.ndarray, domain: Domain | None = None, names: tuple[str, ...] = ()) -> Volume:
    """A volume of values [z, y, x] or [z, y, x, c], NaN where missing.

    Args:
        domain: where the nodes are; their own indices if left out.
        names: of the variables; v, or v0, v1, ... if left out.
    """
    values = np.ascontiguousarray(values, dtype=np.float32)
    values = values[..., None] if values.ndim == 3 else values
    z, y, x, components = values.shape
    names = names or (("v",) if components == 1 else tuple(f"v{k}" for k in range(components)))
    domain = domain or Domain((Axis.uniform(x), Axis.uniform(y), Axis.uniform(z)))
    ranges = tuple((float(np.nanmin(part)), float(np.nanmax(part))) for part in np.moveaxis(values, 3, 0))
    valid = int(np.isfinite(values[..., 0]).sum())
    source = VolumeSource("v.nc", names, None, values.nbytes)
    return Volume(values, domain, "_".join(names), ("",) * components, ranges, valid, source)
