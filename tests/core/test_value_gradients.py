# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of values with respect to the points: the compiled kernel against the reference in double precision, the
reference and fields against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import Network, away_from_kinks, double, networks

from amgsrn_core import ArrayInfo, Axis, Domain, Field, kernels
from amgsrn_core.kernels import cpu, reference
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField

LIBRARY, STATE = cpu.load()
needs_library = pytest.mark.skipif(LIBRARY is None, reason=f"CPU kernels: {STATE}")
BACKENDS = ["reference", *(["cpu"] if LIBRARY is not None else [])]


def random_points(count: int, seed: int, size: float = 1.2) -> torch.Tensor:
    return size * (torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1)


@needs_library
@given(networks(), st.integers(0, 700), st.integers(0, 2**31), st.integers(1, 3))
def test_values_and_gradients_equal_the_reference(network: Network, count: int, seed: int, threads: int) -> None:
    assert LIBRARY is not None
    points = away_from_kinks(random_points(count, seed), *network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))
        results = cpu.Evaluator(LIBRARY, *network).value_and_gradient(points)
    for native, expected in zip(results, reference.value_and_gradient(points.double(), *double(network)), strict=True):
        assert native.shape == expected.shape
        if len(points):
            scale = float(expected.abs().max()) or 1.0
            np.testing.assert_allclose(native / scale, expected / scale, atol=1e-4)


@given(networks(), st.integers(0, 2**31))
def test_the_reference_is_the_limit_of_differences(network: Network, seed: int) -> None:
    points, network = away_from_kinks(random_points(50, seed), *network).double(), double(network)
    values, gradients = reference.value_and_gradient(points, *network)
    assert torch.equal(values, reference.forward(points, *network))
    step = 1e-7
    for axis in range(3):
        shift = step * torch.eye(3, dtype=torch.float64)[axis]
        difference = reference.forward(points + shift, *network) - reference.forward(points - shift, *network)
        scale = float(gradients.abs().max()) if len(points) else 1.0
        np.testing.assert_allclose(difference / (2 * step), gradients[..., axis], atol=1e-4 * (scale or 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluators_differentiate_in_inference_mode(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    network = AMGSRN(AMGSRNConfig(grids=3, channels=2, resolution=(4, 5, 6), hidden=(8,), outputs=2), seed=1)
    torch.nn.init.normal_(network.grids, generator=torch.Generator().manual_seed(4))
    points = away_from_kinks(random_points(40_000, 2), network.transforms(), network.grids, network.mlp_parameters()[0])
    with torch.inference_mode():
        evaluate = kernels.evaluator(network.transforms(), network.grids, *network.mlp_parameters())
        values, gradients = evaluate.value_and_gradient(points * 1.0)
    expected_values, expected = reference.value_and_gradient(
        points, network.transforms(), network.grids, *network.mlp_parameters()
    )
    np.testing.assert_allclose(values, expected_values, atol=1e-5 * float(expected_values.abs().max()))
    np.testing.assert_allclose(gradients, expected, atol=1e-4 * float(expected.abs().max()))


@needs_library
def test_far_away_points_have_no_gradient() -> None:
    assert LIBRARY is not None
    evaluate = cpu.Evaluator(LIBRARY, torch.eye(4)[None], torch.ones(1, 1, 3, 3, 3), [torch.ones(1, 1)])
    _, gradients = evaluate.value_and_gradient(torch.tensor([[1e30, 0, 0], [0, -1e9, 0], [0.0, 0, 5.0]]))
    assert gradients.tolist() == [[[0.0] * 3]] * 3


class Quadratic(Field):
    """x^2 + 3 y and z, in a domain of 5 x 9 x 11 nodes."""

    def __init__(self) -> None:
        self.domain = Domain((Axis.uniform(5), Axis.uniform(9), Axis.uniform(11)))
        self.array = ArrayInfo("quadratic", components=2)
        self.farthest = 0.0

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        self.farthest = max(self.farthest, float(points.abs().max()))
        x, y, z = points.unbind(1)
        return torch.stack([x**2 + 3 * y, z], dim=1)


def test_any_field_has_gradients_by_differences_inside_the_domain() -> None:
    field = Quadratic()
    points = torch.tensor([[0.25, 0.0, 0.5], [1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])
    values, gradients = field.sample_with_gradient(points)
    assert torch.equal(values, field.sample(points))
    assert field.farthest == 1.0
    # At the faces one-sided: half a voxel of 5 nodes is 0.25.
    along_x = [0.5, 2.0 - 0.25, -2.0 + 0.25]
    expected = [[[slope, 3.0, 0.0], [0.0, 0.0, 1.0]] for slope in along_x]
    np.testing.assert_allclose(gradients, expected, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_have_exact_gradients_in_data_units(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    network = AMGSRN(AMGSRNConfig(grids=4, resolution=(6, 6, 6), hidden=(8, 8)), seed=3)
    torch.nn.init.normal_(network.grids, generator=torch.Generator().manual_seed(4))
    domain = Domain((Axis.uniform(65), Axis.uniform(65), Axis.uniform(65)))
    field = AMGSRNField(network, domain, ArrayInfo("a", value_range=(-5.0, 15.0)))
    points = away_from_kinks(
        random_points(3000, 5, 0.9), network.transforms(), network.grids, network.mlp_parameters()[0]
    )
    values, gradients = field.sample_with_gradient(points)
    assert not gradients.requires_grad
    np.testing.assert_allclose(values, field.sample(points), atol=1e-4)
    _, slopes = reference.value_and_gradient(points, network.transforms(), network.grids, *network.mlp_parameters())
    np.testing.assert_allclose(gradients, 20.0 * slopes, atol=2e-3 * float(slopes.abs().max()))
    # Differences over a voxel see kinks within it; on the whole they agree.
    _, differences = Field.sample_with_gradient(field, points)
    assert float((differences - gradients).abs().median()) < 0.1 * float(gradients.abs().median())
