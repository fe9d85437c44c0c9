# SPDX-License-Identifier: BSD-3-Clause
"""Dimensions and memory of what the reader samples; needs no ParaView."""

from __future__ import annotations

import math
import sys

import pytest
from harness import ROOT
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(
    0, str(ROOT / "paraview_plugin" / "algorithms")
)  # the package itself is imported by ParaView's Python only

import sampling

counts = st.integers(min_value=2, max_value=5000)


@given(st.tuples(counts, counts, counts))
def test_preview_is_small_and_never_finer_than_native(native):
    preview = sampling.preview_dimensions(native)
    assert math.prod(preview) <= max(sampling.PREVIEW_POINTS, 8)
    assert all(2 <= p <= n for p, n in zip(preview, native, strict=True))
    if math.prod(native) <= sampling.PREVIEW_POINTS:
        assert preview == native


@given(st.tuples(counts, counts, counts))
def test_preview_shrinks_all_axes_alike(native):
    preview = sampling.preview_dimensions(native)
    spacings = [(n - 1) / (p - 1) for p, n in zip(preview, native, strict=True) if p > 8]
    if len(spacings) > 1:
        assert max(spacings) / min(spacings) < 1.2


def test_preview_uses_its_points():
    for native in ((1000, 1000, 1000), (4000, 500, 300), (513, 257, 1025)):
        assert math.prod(sampling.preview_dimensions(native)) > 0.9 * sampling.PREVIEW_POINTS


def test_memory_of_a_request():
    small, large = sampling.sample_bytes((2, 2, 2), 1), sampling.sample_bytes((1024, 1024, 1024), 3)
    assert large - small == pytest.approx(3 * 4 * 1024**3, rel=1e-6)
