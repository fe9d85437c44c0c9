# SPDX-License-Identifier: BSD-3-Clause
"""The compiled feature density against the reference in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core import kernels
from amgsrn_core.kernels import cpu, cpu_density, reference

LIBRARY, STATE = cpu.load()
needs_library = pytest.mark.skipif(LIBRARY is None, reason=f"CPU kernels: {STATE}")


@st.composite
def placements(draw: st.DrawFn) -> torch.Tensor:
    """Transforms of one to forty grids: about the whole domain, small, or anywhere, some of them mirrored."""
    count = draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    transforms = torch.eye(4).repeat(count, 1, 1)
    transforms[:, :3] += draw(st.sampled_from([0.05, 0.5, 2.0])) * torch.randn(count, 3, 4, generator=generator)
    return transforms


def random_points(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2.4 - 1.2


@needs_library
@given(placements(), st.integers(0, 3000), st.integers(0, 2**31), st.integers(1, 3))
def test_density_and_its_gradient_equal_the_reference(transforms, count, seed, threads):
    points = random_points(count, seed)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))
        for function, matrices in (
            (lambda *a: cpu_density.density(LIBRARY, *a), transforms),
            (reference.density, transforms.double()),
        ):
            matrices.requires_grad_()
            density = function(points.to(matrices.dtype), matrices)
            slopes = torch.rand(count, generator=torch.Generator().manual_seed(seed)).to(matrices.dtype)
            (gradient,) = torch.autograd.grad(density, matrices, slopes)
            results.append((density.detach(), gradient))
    for native, expected in zip(*results, strict=True):
        assert native.shape == expected.shape
        if expected.numel():
            # The 20th power makes twenty errors of a coordinate's last bit.
            scale = float(expected.abs().max()) or 1.0
            np.testing.assert_allclose(native / scale, expected / scale, atol=5e-5)


@needs_library
def test_far_away_points_add_nothing():
    """Where powers do not fit into single precision, neither the density nor its gradient becomes infinite."""
    transforms = (1000.0 * torch.eye(4))[None].requires_grad_()
    density = cpu_density.density(LIBRARY, torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), transforms)
    density.sum().backward()
    assert density[0] == 0
    assert density[1] > 0
    assert transforms.grad is not None
    assert transforms.grad.isfinite().all()


@needs_library
def test_a_grid_without_volume_has_no_density():
    transforms = torch.zeros(1, 4, 4).requires_grad_()
    density = cpu_density.density(LIBRARY, torch.zeros(3, 3), transforms)
    density.sum().backward()
    assert density.tolist() == [0.0, 0.0, 0.0]
    assert transforms.grad is not None
    assert not transforms.grad.any()


@needs_library
def test_the_back_end_is_chosen_by_what_is_asked(monkeypatch):
    """Gradients of the points, and double precision, are the reference's."""
    monkeypatch.setenv("AMGSRN_KERNELS", "auto")
    transforms, points = torch.eye(4)[None], random_points(5, 1)
    expected = reference.density(points, transforms)
    np.testing.assert_allclose(kernels.density(points, transforms), expected, rtol=1e-5)
    assert kernels.density(points.double(), transforms.double()).dtype == torch.float64
    moving = points.clone().requires_grad_()
    kernels.density(moving, transforms).sum().backward()
    assert moving.grad is not None
    assert moving.grad.any()
