# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core import Axis, Domain
from amgsrn_core.errors import InvalidDomain

spacings = st.floats(0.01, 100.0)


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    origin = draw(st.floats(-1e4, 1e4))
    steps = draw(st.lists(spacings, min_size=1, max_size=12))
    if draw(st.booleans()):
        return Axis.uniform(len(steps) + 1, origin, steps[0])
    return Axis.rectilinear(origin + np.concatenate([[0.0], np.cumsum(steps)]))


domains = st.builds(
    lambda a, b, c, time, times: Domain((a, b, c), ("m", "km", "hPa"), time, "s", times),
    axes(),
    axes(),
    axes(),
    st.none() | st.floats(-1e9, 1e9),
    st.lists(st.floats(-1e9, 1e9), max_size=3).map(tuple),
)


@given(axes())
def test_node_i_is_at_minus_one_plus_two_i_over_n_minus_one(axis: Axis) -> None:
    expected = -1 + 2 * np.arange(axis.count) / (axis.count - 1)
    np.testing.assert_allclose(axis.normalize(axis.nodes()), expected, atol=1e-6)


@given(axes(), st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_normalize_inverts_denormalize(axis: Axis, normalized: list[float]) -> None:
    np.testing.assert_allclose(axis.normalize(axis.denormalize(np.array(normalized))), normalized, atol=1e-5)


@given(domains)
def test_json_round_trip(domain: Domain) -> None:
    assert Domain.from_dict(json.loads(json.dumps(domain.to_dict()))) == domain


@given(domains)
def test_corners_are_the_bounds_in_x_y_z_order(domain: Domain) -> None:
    corners = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    world = domain.normalized_to_world(corners).numpy()
    np.testing.assert_allclose(world[0], domain.bounds[::2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(world[1], domain.bounds[1::2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(domain.world_to_normalized(torch.from_numpy(world)).numpy(), corners.numpy(), atol=1e-6)


@given(domains, st.integers(0, 2**31))
def test_box_coordinates_lead_to_the_same_point_as_world_coordinates(domain: Domain, seed: int) -> None:
    box = torch.rand(50, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    low, high = (torch.tensor(domain.bounds[i::2], dtype=torch.float64) for i in (0, 1))
    world = low + (box + 1) / 2 * (high - low)
    expected = domain.world_to_normalized(world).numpy()
    np.testing.assert_allclose(domain.box_to_normalized(box).numpy(), expected, atol=1e-5)


def test_shape_is_dimensions_reversed() -> None:
    domain = Domain((Axis.uniform(4), Axis.uniform(3), Axis.uniform(2)))
    assert domain.dimensions == (4, 3, 2)
    assert domain.shape == (2, 3, 4)


def test_equally_spaced_float32_coordinates_are_uniform() -> None:
    assert Axis.rectilinear(np.linspace(0, 2 * np.pi, 97, dtype=np.float32)).is_uniform
    assert not Axis.rectilinear([0.0, 1.0, 3.0]).is_uniform
    assert Axis.rectilinear([0.0, 1.0, 3.0]).smallest_spacing == 1.0


@pytest.mark.parametrize("nodes", [[1.0], [], [0.0, 0.0], [1.0, 0.0], [0.0, np.nan], [[0.0, 1.0]]])
def test_impossible_axes_are_refused(nodes: list[float]) -> None:
    with pytest.raises(InvalidDomain):
        Axis.rectilinear(nodes)


@pytest.mark.parametrize(("origin", "spacing"), [(np.nan, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, np.inf), (0.0, 1e308)])
def test_axes_that_end_nowhere_are_refused(origin: float, spacing: float) -> None:
    with pytest.raises(InvalidDomain):
        Axis.uniform(10, origin, spacing)


@pytest.mark.parametrize(
    "data", [{}, {"axes": {}}, {"axes": 3, "units": []}, {"axes": {k: {"count": 1} for k in "xyz"}}]
)
def test_unreadable_domains_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidDomain):
        Domain.from_dict(data)


@given(domains, st.data())
def test_a_part_has_the_nodes_of_the_whole(domain: Domain, data: st.DataObject) -> None:
    extent = []
    for axis in domain.axes:
        first = data.draw(st.integers(0, axis.count - 2))
        extent.append((first, data.draw(st.integers(first + 1, axis.count - 1))))
    part = domain.part((extent[0], extent[1], extent[2]))
    for axis, whole, (first, last) in zip(part.axes, domain.axes, extent, strict=True):
        scale = abs(whole.origin) + abs(whole.stop)
        np.testing.assert_allclose(
            axis.nodes(), whole.nodes()[first : last + 1], atol=1e-4 * whole.spacing + 1e-12 * scale
        )
    assert (part.units, part.time) == (domain.units, domain.time)
