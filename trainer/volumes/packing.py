# SPDX-License-Identifier: BSD-3-Clause
"""Packed and missing values as NetCDF stores them (NUG appendix A; CF chapters 2.5.1 and 8.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .cf import CFVariable


@dataclass(frozen=True)
class Packing:
    """How stored numbers become values.

    Attributes:
        unsigned: signed integers are meant as unsigned ones (attribute _Unsigned).
        scale, offset: value = stored * scale + offset.
        missing: stored numbers that mean "no value".
        valid: lowest and highest stored number that is a value; None for no limit.
    """

    unsigned: bool
    scale: float
    offset: float
    missing: tuple[float, ...]
    valid: tuple[float | None, float | None]

    @classmethod
    def of(cls, variable: CFVariable) -> Packing:
        """Read the attributes of a variable of numbers.

        Without _FillValue the format's own default, if it has one, counts as missing.
        """
        attributes, dtype = variable.attributes, np.dtype(variable.dtype)
        unsigned = str(attributes.get("_Unsigned", "false")).lower() == "true" and dtype.kind == "i"
        missing: list[float] = []
        for name in ("_FillValue", "missing_value"):
            missing += _numbers(attributes.get(name))
        if "_FillValue" not in attributes and variable.default_fill is not None:
            missing.append(variable.default_fill)
        low, high = _numbers(attributes.get("valid_min")), _numbers(attributes.get("valid_max"))
        both = _numbers(attributes.get("valid_range"))
        if len(both) == 2:
            low, high = both[:1], both[1:]
        limits = (low[0] if low else None, high[0] if high else None)
        if unsigned:
            modulus = 2.0 ** (8 * dtype.itemsize)
            missing = [m % modulus for m in missing]
            limits = (
                None if limits[0] is None else limits[0] % modulus,
                None if limits[1] is None else limits[1] % modulus,
            )
        scale, offset = _numbers(attributes.get("scale_factor")), _numbers(attributes.get("add_offset"))
        return cls(unsigned, scale[0] if scale else 1.0, offset[0] if offset else 0.0, tuple(missing), limits)

    def unpack(self, stored: np.ndarray, out: np.ndarray) -> None:
        """Values of stored numbers.

        Args:
            stored: as read, any shape and number type.
            out: float32, same shape: receives the values, NaN where they are missing or not finite.
        """
        if self.unsigned:
            stored = stored.view(stored.dtype.str.replace("i", "u"))
        with np.errstate(over="ignore", invalid="ignore"):
            if self.scale == 1.0 and self.offset == 0.0:
                out[...] = stored
            else:
                # In double precision: packed values often have a large offset.
                out[...] = stored * self.scale + self.offset
            invalid = ~np.isfinite(out)
            for missing in self.missing:
                if not np.isnan(missing):
                    invalid |= stored == stored.dtype.type(missing) if stored.dtype.kind == "f" else stored == missing
            low, high = self.valid
            if low is not None:
                invalid |= stored < (stored.dtype.type(low) if stored.dtype.kind == "f" else low)
            if high is not None:
                invalid |= stored > (stored.dtype.type(high) if stored.dtype.kind == "f" else high)
        out[invalid] = np.nan


def _numbers(value: Any) -> list[float]:
    """An attribute's numbers; none where it is absent or not numeric."""
    if value is None:
        return []
    array = np.atleast_1d(np.asarray(value))
    return [float(v) for v in array] if array.dtype.kind in "iuf" else []
