# SPDX-License-Identifier: BSD-3-Clause
"""How far a field is from a volume, computed slab by slab.

All metrics are over the valid values only, in data units. PSNR = 20 log10(max - min) - 10 log10(MSE), with the range of
the volume; it is None for a perfect match (infinite) and for a constant volume that is not matched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from amgsrn_core import Field
from amgsrn_core.grid import native_nodes, sample_nodes

from .ssim import StreamedSSIM
from .volumes import Volume

_SLAB_VALUES = 1 << 20


@dataclass(frozen=True)
class Metrics:
    """Errors of a field, over all valid values of a volume.

    Attributes:
        psnr_db: peak signal-to-noise ratio, dB; None where infinite or undefined.
        ssim: mean structural similarity, see `ssim`; None where no window is valid.
        rmse, max_abs_error: in data units.
    """

    psnr_db: float | None
    ssim: float | None
    rmse: float
    max_abs_error: float

    def to_dict(self) -> dict[str, float | None]:
        """JSON-ready."""
        return dict(vars(self))


def measure(field: Field, volume: Volume, progress: Callable[[float], object] | None = None) -> Metrics:
    """Compare a field with a volume of its native shape at all nodes; memory does not grow with the number of slices.

    Args:
        progress: called with the finished fraction in (0, 1]; may raise to stop.
    """
    x, y, z = native_nodes(field)
    low, high = volume.value_range
    planes = max(1, _SLAB_VALUES // (len(x) * len(y)))
    ssim = StreamedSSIM(volume.values.shape, low, high)
    squares, worst = 0.0, 0.0
    for start in range(0, len(z), planes):
        truth = volume.values[start : start + planes]
        found = sample_nodes(field, x, y, z[start : start + planes])[..., 0]
        errors = np.subtract(found, truth, dtype=np.float64)
        squares += float(np.nansum(np.square(errors)))
        if not np.isnan(errors).all():
            worst = max(worst, float(np.nanmax(np.abs(errors))))
        ssim.add(truth, found)
        if progress is not None:
            progress(min(1.0, (start + planes) / len(z)))
    mse = squares / volume.valid
    return Metrics(psnr(mse, high - low), ssim.mean(), math.sqrt(mse), worst)


def psnr(mse: float, value_range: float) -> float | None:
    """Peak signal-to-noise ratio in dB; None where it is infinite or undefined."""
    if mse <= 0 or value_range <= 0:
        return None
    return 20.0 * math.log10(value_range) - 10.0 * math.log10(mse)
