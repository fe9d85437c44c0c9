# SPDX-License-Identifier: BSD-3-Clause
"""Structural similarity in 3-D, computed slab by slab.

Definition: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004), eq. 13, with
K1 = 0.01, K2 = 0.03, L = max - min of the volume, and a uniform window of 7 x 7 x 7 nodes (along a shorter axis: its
largest odd length); variances and covariance are those of the window's values (divided by their number minus 1). The
result is the mean over all windows that lie inside the volume and hold no missing value. This is scikit-image's
`structural_similarity(a, b, win_size=7, data_range=L)`.
"""

from __future__ import annotations

import numpy as np

_WINDOW = 7
_K1, _K2 = 0.01, 0.03


class StreamedSSIM:
    """Mean SSIM of two volumes that are given slab by slab.

    Args:
        shape: [z, y, x] of the volumes.
        low, high: range of the first volume's valid values.
    """

    def __init__(self, shape: tuple[int, ...], low: float, high: float) -> None:
        self._window = tuple(min(_WINDOW, n if n % 2 else n - 1) for n in shape)
        self._count = int(np.prod(self._window))
        self._span = high - low if high > low else 1.0
        self._planes: list[np.ndarray] = []  # the last planes' sums in the window over y and x, (5, y', x') each
        self._sum, self._windows = 0.0, 0

    def add(self, truth: np.ndarray, other: np.ndarray) -> None:
        """Take the next planes [k, y, x] of both volumes into account; missing values of the first are NaN."""
        for a, b in zip(truth, other, strict=True):
            # In units of the range, so that the constants are K1^2 and K2^2.
            p = a.astype(np.float64) / self._span
            q = b.astype(np.float64) / self._span
            products = np.stack([p, q, p * p, q * q, p * q])
            self._planes.append(_window_sums(_window_sums(products, self._window[1], 1), self._window[2], 2))
            if len(self._planes) == self._window[0]:
                self._finish_window()
                self._planes.pop(0)

    def _finish_window(self) -> None:
        mean_p, mean_q, pp, qq, pq = np.sum(self._planes, axis=0) / self._count
        unbiased = self._count / max(self._count - 1, 1)
        var_p, var_q = unbiased * (pp - mean_p * mean_p), unbiased * (qq - mean_q * mean_q)
        covariance = unbiased * (pq - mean_p * mean_q)
        c1, c2 = _K1**2, _K2**2
        numerator = (2 * mean_p * mean_q + c1) * (2 * covariance + c2)
        values = numerator / ((mean_p * mean_p + mean_q * mean_q + c1) * (var_p + var_q + c2))
        valid = ~np.isnan(values)
        self._sum += float(values[valid].sum())
        self._windows += int(valid.sum())

    def mean(self) -> float | None:
        """The mean over all windows; None if none was valid."""
        return self._sum / self._windows if self._windows else None


def _window_sums(values: np.ndarray, window: int, axis: int) -> np.ndarray:
    """Sums over `window` neighbours along an axis, which gets shorter by window - 1; NaN where one is NaN."""
    length = values.shape[axis] - window + 1
    index: list[slice] = [slice(None)] * values.ndim
    total = None
    for shift in range(window):
        index[axis] = slice(shift, shift + length)
        part = values[tuple(index)]
        total = part.copy() if total is None else np.add(total, part, out=total)
    assert total is not None
    return total
