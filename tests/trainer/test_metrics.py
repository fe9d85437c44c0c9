# SPDX-License-Identifier: BSD-3-Clause
"""Errors of a field, against computations that have nothing in common with ours."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from array_volumes import make_volume

from amgsrn_core import ArrayInfo, Axis, Domain, Field
from trainer.metrics import measure, psnr
from trainer.ssim import StreamedSSIM


class Nodes(Field):
    """A field that has given values at the nodes."""

    def __init__(self, values):
        z, y, x = values.shape
        self.domain = Domain((Axis.uniform(x), Axis.uniform(y), Axis.uniform(z)))
        self.array = ArrayInfo("v")
        self._values = torch.from_numpy(values)

    def sample(self, points):
        counts = torch.tensor([n - 1 for n in self.domain.dimensions])
        x, y, z = ((points + 1) / 2 * counts).round().long().unbind(1)
        return self._values[z, y, x][:, None]


def independent_ssim(truth, other, span, window=(7, 7, 7)):
    """With scipy's filters, as scikit-image does it; windows with missing values left out."""
    truth, other = truth.astype(np.float64), other.astype(np.float64)
    count = np.prod(window)
    missing = np.isnan(truth)
    a, b = np.where(missing, 0, truth), np.where(missing, 0, other)
    mean = lambda v: scipy.ndimage.uniform_filter(v, window)  # noqa: E731
    scale = count / (count - 1)
    ux, uy = mean(a), mean(b)
    vx, vy, vxy = (scale * (mean(p) - q) for p, q in ((a * a, ux * ux), (b * b, uy * uy), (a * b, ux * uy)))
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    inner = tuple(slice((w - 1) // 2, n - (w - 1) // 2) for w, n in zip(window, truth.shape, strict=True))
    valid = (mean(missing.astype(float)) * count < 0.5)[inner]
    return values[inner][valid].mean()


@pytest.mark.parametrize("missing", [False, True])
def test_against_plain_numpy(missing):
    random = np.random.default_rng(0)
    truth = scipy.ndimage.gaussian_filter(random.normal(size=(19, 17, 23)), 1.5).astype(np.float32) * 40 + 280
    other = truth + random.normal(size=truth.shape).astype(np.float32)
    if missing:
        truth[3, 4, 5:9] = np.nan
    field = Nodes(other)
    metrics = measure(field, make_volume(truth, field.domain))
    valid = np.isfinite(truth)
    errors = (other[valid].astype(np.float64) - truth[valid]).ravel()
    span = float(truth[valid].max()) - float(truth[valid].min())
    mse = np.mean(errors**2)
    assert metrics.rmse == pytest.approx(np.sqrt(mse), rel=1e-9)
    assert metrics.max_abs_error == pytest.approx(np.abs(errors).max(), rel=1e-9)
    assert metrics.psnr_db == pytest.approx(20 * np.log10(span) - 10 * np.log10(mse), abs=1e-9)
    assert metrics.ssim == pytest.approx(independent_ssim(truth, other, span), abs=1e-9)


def test_a_perfect_field():
    values = np.random.default_rng(0).random((9, 8, 10)).astype(np.float32)
    field = Nodes(values)
    metrics = measure(field, make_volume(values, field.domain))
    assert metrics.to_dict() == {"psnr_db": None, "ssim": pytest.approx(1.0), "rmse": 0.0, "max_abs_error": 0.0}


def test_the_number_of_slabs_does_not_matter(monkeypatch):
    random = np.random.default_rng(1)
    truth, other = random.random((2, 15, 9, 11)).astype(np.float32)
    field, results = Nodes(other), []
    for values in (1, 300, 1 << 20):
        monkeypatch.setattr("trainer.metrics._SLAB_VALUES", values)
        results.append(measure(field, make_volume(truth, field.domain)))
    assert results[0].to_dict() == pytest.approx(results[1].to_dict(), rel=1e-12)
    assert results[0].to_dict() == pytest.approx(results[2].to_dict(), rel=1e-12)


def test_thin_volumes_have_a_smaller_window():
    random = np.random.default_rng(2)
    truth, other = random.random((2, 4, 20, 6)).astype(np.float32)
    ssim = StreamedSSIM(truth.shape, 0.0, 1.0)
    ssim.add(truth, other)
    assert ssim.mean() == pytest.approx(independent_ssim(truth, other, 1.0, (3, 7, 5)), abs=1e-9)


def test_psnr_by_hand():
    assert psnr(0.01, 10.0) == pytest.approx(40.0)
    assert psnr(0.0, 1.0) is None
    assert psnr(1.0, 0.0) is None
