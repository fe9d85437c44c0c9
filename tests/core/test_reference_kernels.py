# SPDX-License-Identifier: BSD-3-Clause
"""The reference kernels against formulas written out in numpy, point by point."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from amgsrn_core import kernels
from amgsrn_core.kernels.placement import rotation_matrices
from amgsrn_core.models.transforms import ScaleRotationTransforms


def interpolate(grid: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Trilinear value of a grid [c, d, h, w] at one local point (x, y, z), with zeros around the grid."""
    sizes = np.array(grid.shape[:0:-1])
    position = (local + 1) / 2 * (sizes - 1)
    low = np.floor(position).astype(int)
    total = np.zeros(grid.shape[0])
    for corner in np.ndindex(2, 2, 2):
        node = low + corner
        weight = np.prod(1 - np.abs(position - node))
        if (node >= 0).all() and (node < sizes).all():
            total += weight * grid[:, node[2], node[1], node[0]]
    return total


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(2, 5)),
    st.integers(0, 2**31),
)
def test_encode_is_trilinear_with_zeros_outside(m: int, c: int, shape: tuple[int, int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    grids = random.standard_normal((m, c, *shape))
    transforms = np.tile(np.eye(4), (m, 1, 1)) + 0.3 * random.standard_normal((m, 4, 4))
    points = random.uniform(-1, 1, (20, 3))
    features = kernels.encode(*(torch.from_numpy(a) for a in (points, transforms, grids))).numpy()
    for n, point in enumerate(points):
        for i in range(m):
            local = (transforms[i] @ [*point, 1.0])[:3]
            np.testing.assert_allclose(features[n, i * c : (i + 1) * c], interpolate(grids[i], local), atol=1e-9)


def test_features_fade_to_zero_within_one_voxel_outside() -> None:
    grid = torch.ones(1, 1, 3, 3, 3, dtype=torch.float64)
    points = torch.tensor([[1.0, 0, 0], [1.5, 0, 0], [2.0, 0, 0], [9.0, 0, 0]], dtype=torch.float64)
    features = kernels.encode(points, torch.eye(4, dtype=torch.float64)[None], grid)
    np.testing.assert_allclose(features[:, 0], [1.0, 0.5, 0.0, 0.0])


@given(st.integers(1, 5), st.integers(0, 2**31))
def test_density_formula(m: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    transforms = np.tile(np.eye(4), (m, 1, 1)) + 0.3 * random.standard_normal((m, 4, 4))
    points = random.uniform(-1.2, 1.2, (10, 3))
    expected = np.zeros(10)
    for matrix in transforms:
        local = points @ matrix[:3, :3].T + matrix[:3, 3]
        flat_top = np.exp(-0.5 * (local**20).sum(axis=1))
        expected += abs(np.linalg.det(matrix[:3, :3])) / (2 * np.pi) ** 1.5 * flat_top
    result = kernels.density(torch.from_numpy(points), torch.from_numpy(transforms)).numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


def test_mlp_is_linear_relu_linear() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((7, 5))
    weights = [random.standard_normal(s) for s in ((6, 5), (4, 6), (2, 4))]
    biases = [random.standard_normal(w.shape[0]) for w in weights]
    hidden = np.maximum(features @ weights[0].T + biases[0], 0)
    hidden = np.maximum(hidden @ weights[1].T + biases[1], 0)
    tensors = [[torch.from_numpy(a) for a in group] for group in (weights, biases)]
    result = kernels.mlp(torch.from_numpy(features), *tensors).numpy()
    np.testing.assert_allclose(result, hidden @ weights[2].T + biases[2], atol=1e-12)


@given(st.integers(0, 2**31))
def test_forward_is_differentiable_in_everything(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    points = 0.8 * (torch.rand(3, 3, generator=generator, dtype=torch.float64) * 2 - 1)
    transforms = (torch.eye(4, dtype=torch.float64) + 0.05 * random(2, 4, 4)).requires_grad_()
    grids, first, last = (random(*s).requires_grad_() for s in ((2, 1, 3, 3, 3), (4, 2), (1, 4)))
    value = kernels.forward(points, transforms, grids, [first, last]).sum()
    gradients = torch.autograd.grad(value, [transforms, grids, first, last])
    step = 1e-6
    for parameter, gradient in zip([transforms, grids, first, last], gradients, strict=True):
        direction = random(*parameter.shape)
        moved = [p + step * direction if p is parameter else p for p in (transforms, grids, first, last)]
        slope = (kernels.forward(points, moved[0], moved[1], moved[2:]).sum() - value) / step
        # Crossing a kink of ReLU or of the interpolation within the step is rare and small.
        assert abs(slope - (gradient * direction).sum()) < 1e-3 * (1 + abs(slope))


@given(st.integers(0, 2**31))
def test_quaternions_are_x_y_z_w_and_need_not_be_normalized(seed: int) -> None:
    quaternions = np.random.default_rng(seed).standard_normal((5, 4)) + 0.01
    expected = Rotation.from_quat(quaternions).as_matrix()
    np.testing.assert_allclose(rotation_matrices(torch.from_numpy(quaternions)).numpy(), expected, atol=1e-9)


def test_scale_rotation_translation_is_applied_in_that_order() -> None:
    form = ScaleRotationTransforms(1)
    with torch.no_grad():
        form.log_scales[:] = torch.log(torch.tensor([[2.0, 3.0, 4.0]]))
        form.quaternions[:] = torch.tensor([[0.0, 0.0, 1.0, 1.0]])  # a quarter turn about z
        form.translations[:] = torch.tensor([[0.1, 0.2, 0.3]])
        local = kernels.to_local(torch.tensor([[1.0, 1.0, 1.0]]), form())[0, 0]
    np.testing.assert_allclose(local, [-3 + 0.1, 2 + 0.2, 4 + 0.3], atol=1e-6)
