# SPDX-License-Identifier: BSD-3-Clause
"""How far a field is from a volume, computed slab by slab.

All metrics are over the valid values only. Of a single component PSNR = 20 log10(max - min) - 10 log10(MSE), with the
range of the volume; it is None for a perfect match (infinite) and for a constant volume that is not matched. Of several
components the squared errors are in units of each one's range and averaged: PSNR = -10 log10(mean of MSE / (max -
min)^2), components that are constant left out; SSIM is the mean of theirs, RMSE and the largest error are of all
components together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amgsrn_core import Field
from amgsrn_core.grid import native_nodes, sample_nodes

from .ssim import StreamedSSIM
from .volumes import Volume
from .volumes.region import Region, slices, whole

_SLAB_VALUES = 1 << 20


@dataclass(frozen=True)
class ComponentMetrics:
    """Errors of one of several components.

    Attributes:
        name: of the component.
        psnr_db, rmse, max_abs_error: as in `Metrics`.
    """

    name: str
    psnr_db: float | None
    rmse: float
    max_abs_error: float


@dataclass(frozen=True)
class Metrics:
    """Errors of a field, over all valid values of a volume.

    Attributes:
        psnr_db: peak signal-to-noise ratio, dB; None where infinite or undefined.
        ssim: mean structural similarity, see `ssim`; None where no window is valid.
        rmse, max_abs_error: in data units.
        components: of each component where there are several, else empty.
        wrong_gaps: number of nodes where the field has a value and the volume has none, or the reverse; None where neither
            has gaps.
    """

    psnr_db: float | None
    ssim: float | None
    rmse: float
    max_abs_error: float
    components: tuple[ComponentMetrics, ...] = ()
    wrong_gaps: int | None = None

    @property
    def error(self) -> float:
        """What makes one field worse than another: the mean squared error in units of the value ranges."""
        if self.psnr_db is None:
            return self.rmse
        return 10.0 ** (-0.1 * self.psnr_db)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        described = dict(vars(self))
        described["components"] = [dict(vars(component)) for component in self.components]
        if not self.components:
            del described["components"]
        if self.wrong_gaps is None:
            del described["wrong_gaps"]
        return described

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Metrics:
        """Inverse of `to_dict`.

        Raises:
            KeyError, TypeError: entries that are not metrics.
        """
        components = tuple(ComponentMetrics(**component) for component in data.get("components", ()))
        return cls(**{**data, "components": components})


def measure(
    field: Field, volume: Volume, progress: Callable[[float], object] | None = None, region: Region | None = None
) -> Metrics:
    """Compare a field with a volume of its native shape at its nodes; memory does not grow with the number of slices.

    Args:
        progress: called with the finished fraction in (0, 1]; may raise to stop.
        region: first and last node along x, y and z of a part, which then is all that counts, and has no SSIM; all
            nodes if None.
    """
    part = slices(region if region is not None else whole(volume.domain))
    z, y, x = (nodes[s] for nodes, s in zip(reversed(native_nodes(field)), part, strict=True))
    values = volume.values[part]
    planes = max(1, _SLAB_VALUES // (len(x) * len(y) * volume.components))
    ssims = [StreamedSSIM(volume.shape, low, high) for low, high in volume.ranges] if region is None else []
    errors = Errors(volume.components)
    for start in range(0, len(z), planes):
        truth = values[start : start + planes]
        found = sample_nodes(field, x, y, z[start : start + planes])
        errors.add(truth.reshape(-1, volume.components), found.reshape(-1, volume.components))
        for k, ssim in enumerate(ssims):
            ssim.add(truth[..., k], found[..., k])
        if progress is not None:
            progress(min(1.0, (start + planes) / len(z)))
    means = [mean for ssim in ssims if (mean := ssim.mean()) is not None]
    return errors.metrics(volume, sum(means) / len(means) if means else None, field.has_gaps or volume.missing > 0)


class Errors:
    """Sums of errors over values that are given part by part.

    Args:
        components: values per node.
    """

    def __init__(self, components: int) -> None:
        self._squares, self._worst = np.zeros(components), np.zeros(components)
        self._count, self._wrong_gaps = 0, 0

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        """Take values (n, c) into account; those whose truth is NaN are missing."""
        errors = np.subtract(found, truth, dtype=np.float64)
        missing, gaps = np.isnan(truth[:, 0]), np.isnan(found[:, 0])
        self._wrong_gaps += int((missing != gaps).sum())
        both = errors.size // len(self._squares) - int((missing | gaps).sum())
        if both == 0:
            return
        self._count += both
        self._squares += np.nansum(np.square(errors), axis=0)
        self._worst = np.maximum(self._worst, np.nanmax(np.abs(errors), axis=0))

    def metrics(self, volume: Volume, ssim: float | None, gaps: bool) -> Metrics:
        """The errors of all that was added; ranges and names are those of a volume.

        Args:
            ssim: measured elsewhere.
            gaps: whether there are any.
        """
        wrong_gaps = self._wrong_gaps if gaps else None
        spans = [high - low for low, high in volume.ranges]
        mses = [float(squares) / max(self._count, 1) for squares in self._squares]
        worst = [float(largest) for largest in self._worst]
        components = tuple(
            ComponentMetrics(name, psnr(mse, span), math.sqrt(mse), largest)
            for name, mse, span, largest in zip(volume.names, mses, spans, worst, strict=True)
        )
        if len(components) == 1:
            only = components[0]
            return Metrics(only.psnr_db, ssim, only.rmse, only.max_abs_error, wrong_gaps=wrong_gaps)
        rmse = math.sqrt(sum(mses) / len(mses))
        return Metrics(mean_psnr(mses, spans), ssim, rmse, max(worst), components, wrong_gaps)


def psnr(mse: float, value_range: float) -> float | None:
    """Peak signal-to-noise ratio in dB; None where it is infinite or undefined."""
    if mse <= 0 or value_range <= 0:
        return None
    return 20.0 * math.log10(value_range) - 10.0 * math.log10(mse)


def mean_psnr(mses: Sequence[float], spans: Sequence[float]) -> float | None:
    """Of several components, the constant ones left out."""
    errors = [mse / span / span for mse, span in zip(mses, spans, strict=True) if span > 0]
    return psnr(sum(errors) / len(errors), 1.0) if errors else None
