# SPDX-License-Identifier: BSD-3-Clause
"""Rays, marching and the image hierarchy against exact integrals and independent formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amgsrn_core import ArrayInfo, Axis, Domain, Field
from amgsrn_core.errors import InvalidTransferFunction
from amgsrn_core.raymarch import (
    MAGNITUDE,
    Camera,
    ProgressivePicture,
    Scene,
    Speed,
    TransferFunction,
    orbit_camera,
    render_complete,
)
from amgsrn_core.raymarch.hierarchy import build_levels, fill_unfinished

GREY_RAMP = TransferFunction(torch.linspace(0, 1, 2)[:, None].expand(2, 4).contiguous(), (0.0, 1.0))


class Formula(Field):
    """A field from a function of world coordinates (x, y, z), counting its samples."""

    def __init__(self, domain: Domain, function: Callable[[torch.Tensor], torch.Tensor], components: int = 1) -> None:
        self.domain, self.function, self.samples = domain, function, 0
        self.array = ArrayInfo("formula", components=components)

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        self.samples += len(points)
        values = self.function(self.domain.normalized_to_world(points.double())).float()
        return values.view(len(points), self.array.components)


class Gaps(Formula):
    """Nothing where the function gives not-a-number."""

    has_gaps = True


def box(n: int = 21, size: float = 1.0) -> Domain:
    return Domain((Axis.uniform(n, 0.0, size / (n - 1)),) * 3)


def parallel_along_z(domain: Domain, width: int = 8, height: int = 6) -> Camera:
    """Looks along -z; the picture is the box's x-y face, the near plane at z = 2, the far one at -1."""
    x0, x1, y0, y1, *_ = domain.bounds
    matrix = np.diag([2 / (x1 - x0), 2 / (y1 - y0), -2 / 3.0, 1.0])
    matrix[:3, 3] = [-(x1 + x0) / (x1 - x0), -(y1 + y0) / (y1 - y0), 1 / 3.0]
    return Camera(matrix, width, height)


def constant(opacity: float) -> TransferFunction:
    return TransferFunction(torch.tensor([[1.0, 0.5, 0.25, opacity]] * 2), (0.0, 1.0))


@given(st.floats(0.0, 0.99), st.floats(0.05, 3.0), st.floats(0.011, 0.7))
@settings(max_examples=40, deadline=None)
def test_a_homogeneous_box_has_the_exact_opacity_whatever_the_step(opacity: float, unit: float, step: float) -> None:
    domain = box()
    field = Formula(domain, lambda p: torch.zeros(len(p)))
    image = render_complete(field, Scene(parallel_along_z(domain), domain.bounds, constant(opacity), unit, step))
    expected = 1 - (1 - opacity) ** (1.0 / unit)
    np.testing.assert_allclose(image[..., 3], expected, atol=2e-3)
    np.testing.assert_allclose(image[..., 1], 0.5 * expected, atol=2e-3)


def test_emission_and_absorption_of_a_linear_field_converge_to_the_integral() -> None:
    # Value z, seen from above (z = 1 first): extinction -log(1 - z), colour z, as an integral over a fine grid.
    domain = box()
    table = torch.linspace(0, 1, 1025)[:, None].repeat(1, 4)
    table[:, 3] *= 0.9
    scene = Scene(parallel_along_z(domain), domain.bounds, TransferFunction(table, (0.0, 1.0)), 0.2, 0.002)
    image = render_complete(Formula(domain, lambda p: p[:, 2]), scene)
    z = np.linspace(1, 0, 200001)
    middle = (z[1:] + z[:-1]) / 2
    alpha = 1 - (1 - 0.9 * middle) ** (np.abs(np.diff(z)) / 0.2)
    before = np.concatenate([[1.0], np.cumprod(1 - alpha)[:-1]])
    np.testing.assert_allclose(image[3, 4, 0], (before * alpha * middle).sum(), atol=1e-3)
    np.testing.assert_allclose(image[3, 4, 3], (before * alpha).sum(), atol=1e-3)


def test_axes_are_x_y_z_and_the_first_row_is_the_bottom() -> None:
    domain = box()
    scene = Scene(parallel_along_z(domain, 16, 12), domain.bounds, GREY_RAMP, 1e-3, 0.05)
    by_x = render_complete(Formula(domain, lambda p: p[:, 0]), scene)[..., 0]
    by_y = render_complete(Formula(domain, lambda p: p[:, 1]), scene)[..., 0]
    np.testing.assert_allclose(by_x[4], (np.arange(16) + 0.5) / 16, atol=0.01)
    np.testing.assert_allclose(by_y[:, 4], (np.arange(12) + 0.5) / 12, atol=0.01)


@pytest.mark.parametrize("surface", [1.7, 0.9, 0.503, 0.1, -0.5])
def test_opaque_geometry_stops_rays_exactly(surface: float) -> None:
    domain = box()
    camera = parallel_along_z(domain)
    window_depth = (surface * -2 / 3 + 1 / 3 + 1) / 2
    depth = np.full((camera.height, camera.width), window_depth, np.float32)
    image = render_complete(
        Formula(domain, lambda p: torch.zeros(len(p))), Scene(camera, domain.bounds, constant(0.5), 1.0, 0.3, depth)
    )
    visible = np.clip(1 - surface, 0, 1)
    np.testing.assert_allclose(image[..., 3], 1 - 0.5**visible, atol=1e-5)


def test_clipping_planes_keep_the_side_of_their_normal() -> None:
    domain = box()
    planes = np.array([[0, 0, 0.25, 0, 0, 1.0], [0, 0, 0.75, 0, 0, -2.0], [0.5, 0, 0, 1.0, 0, 0]])
    field = Formula(domain, lambda p: torch.zeros(len(p)))
    camera = parallel_along_z(domain)
    scene = Scene(camera, domain.bounds, constant(0.5), 1.0, 0.1, clipping_planes=planes)
    image = render_complete(field, scene)[..., 3]
    np.testing.assert_allclose(image[:, :4], 0.0)
    np.testing.assert_allclose(image[:, 4:], 1 - 0.5**0.5, atol=1e-5)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
@settings(max_examples=20, deadline=None)
def test_rays_pass_through_gaps_as_if_they_were_not_there(first: float, last: float) -> None:
    # A gap between two heights: what is left is as opaque as a box without the gap is, over the length that is left.
    domain = box()
    low, high = sorted((first, last))
    field = Gaps(domain, lambda p: torch.where((p[:, 2] > low) & (p[:, 2] < high), torch.nan, 0.5))
    image = render_complete(field, Scene(parallel_along_z(domain), domain.bounds, constant(0.5), 1.0, 0.002))
    np.testing.assert_allclose(image[..., 3], 1 - 0.5 ** (1 - (high - low)), atol=2e-3)
    np.testing.assert_allclose(image[..., 1], 0.5 * image[..., 3], atol=1e-6)


def test_a_stretched_box_takes_as_many_samples_as_it_has_voxels() -> None:
    # 21 nodes along each axis, z a thousand times as long: seen from any side the picture is that of the cube.
    cube = box()
    long = Domain((*cube.axes[:2], Axis.uniform(21, 0.0, 50.0)))
    pictures, samples = [], []
    for domain, unit in ((cube, 0.3), (long, 300.0)):
        field = Formula(domain, lambda p, top=domain.bounds[5]: p[:, 2] / top)
        x, y, z = (axis.smallest_spacing for axis in domain.axes)
        scene = Scene(parallel_along_z(domain), domain.bounds, GREY_RAMP, unit, (x, y, z))
        stretched = scene.camera.data_to_clip @ np.diag([1, 1, 1 / domain.bounds[5], 1])
        scene = replace(scene, camera=Camera(stretched, 8, 6))
        pictures.append(render_complete(field, scene))
        samples.append(field.samples)
    np.testing.assert_allclose(pictures[1], pictures[0], atol=1e-4)
    assert samples == [48 * 20, 48 * 20]


def test_steps_along_a_diagonal_are_as_long_as_voxels_are_in_that_direction() -> None:
    domain = Domain((Axis.uniform(21, 0.0, 0.1), Axis.uniform(21, 0.0, 0.1), Axis.uniform(21, 0.0, 5.0)))
    camera = orbit_camera(domain.bounds, 30, 20, 4, 4)
    even = Scene(camera, domain.bounds, GREY_RAMP, 1.0, 0.1)
    scene = replace(even, step=(0.1, 0.1, 5.0))
    pixels = np.arange(4), np.arange(4)
    rays, evenly = (s.rays(*pixels, domain, torch.device("cpu")) for s in (scene, even))
    half = torch.tensor([1.0, 1.0, 50.0])
    in_voxels = rays.direction * half * rays.step[:, None] / torch.tensor([0.1, 0.1, 5.0])
    np.testing.assert_allclose(in_voxels.norm(dim=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(evenly.step, 0.1)


def test_where_nothing_is_nothing_is_drawn() -> None:
    domain = box()
    scene = Scene(parallel_along_z(domain), domain.bounds, constant(1.0), 1.0, 0.05)
    image = render_complete(Gaps(domain, lambda p: torch.full((len(p),), torch.nan)), scene)
    assert not image.any()
    half = render_complete(Gaps(domain, lambda p: torch.where(p[:, 0] < 0.5, torch.nan, 0.5)), scene)
    assert not half[:, :4].any()
    np.testing.assert_allclose(half[:, 4:, 3], 1.0)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("component", [0, 1, 2, MAGNITUDE])
def test_colours_and_opacities_go_by_one_component_or_the_magnitude(component: int, gaps: bool) -> None:
    domain = box()
    vectors = (Gaps if gaps else Formula)(domain, lambda p: p * torch.tensor([0.2, 0.5, 0.6]), 3)
    scalars = {
        0: lambda p: 0.2 * p[:, 0],
        1: lambda p: 0.5 * p[:, 1],
        2: lambda p: 0.6 * p[:, 2],
        MAGNITUDE: lambda p: ((0.2 * p[:, 0]) ** 2 + (0.5 * p[:, 1]) ** 2 + (0.6 * p[:, 2]) ** 2).sqrt(),
    }
    camera = parallel_along_z(domain)
    looked_at, expected = (
        render_complete(field, Scene(camera, domain.bounds, GREY_RAMP, 0.3, 0.05, component=component))
        for field in (vectors, Formula(domain, scalars[component]))
    )
    np.testing.assert_allclose(looked_at, expected, atol=1e-5)
    assert expected.std() > 0.01


def test_half_boxes_composite_to_the_whole() -> None:
    # What ranks of a parallel server do: each draws its own box, the pictures are put over each other.
    domain = box()
    field = Formula(domain, lambda p: 0.5 + 0.5 * torch.sin(9 * p[:, 0]) * p[:, 2])
    camera = parallel_along_z(domain, 12, 12)
    whole, front, back = (
        render_complete(field, Scene(camera, (0, 1, 0, 1, low, high), GREY_RAMP, 0.3, 0.01))
        for low, high in ((0.0, 1.0), (0.43, 1.0), (0.0, 0.43))
    )
    np.testing.assert_allclose(front + (1 - front[..., 3:]) * back, whole, atol=2e-3)


def test_large_world_coordinates_lose_no_accuracy() -> None:
    small = Domain((Axis.uniform(33, 0.0, 1.0),) * 3)
    large = Domain(tuple(Axis.uniform(33, 5e6, 1.0) for _ in range(3)))
    pictures = []
    for domain in (small, large):
        offset = domain.bounds[0]
        field = Formula(domain, lambda p, offset=offset: (p[:, 2] - offset) / 32)
        camera = orbit_camera(domain.bounds, 30, 20, 40, 30)
        pictures.append(render_complete(field, Scene(camera, domain.bounds, GREY_RAMP, 8.0, 1.0)))
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-3)


def test_a_rectilinear_field_is_marched_in_world_space() -> None:
    nodes = np.array([0.0, 0.1, 0.2, 1.0])
    warped = Domain((Axis.uniform(21, 0, 0.05), Axis.uniform(21, 0, 0.05), Axis.rectilinear(nodes)))
    scene = Scene(parallel_along_z(warped), warped.bounds, GREY_RAMP, 0.5, 0.01)
    image = render_complete(Formula(warped, lambda p: p[:, 2]), scene)
    straight = render_complete(Formula(box(), lambda p: p[:, 2]), scene)
    np.testing.assert_allclose(image, straight, atol=1e-3)


def test_rays_from_inside_the_box_start_at_the_eye() -> None:
    domain = box()
    eye = np.eye(4)
    eye[:3, 3] = [-0.5, -0.5, -0.5]
    near, far = 0.01, 10.0
    projection = np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, (far + near) / (near - far), 2 * far * near / (near - far)], [0, 0, -1, 0]],
        float,
    )
    scene = Scene(Camera(projection @ eye, 3, 3), domain.bounds, constant(0.5), 1.0, 0.01)
    image = render_complete(Formula(domain, lambda p: torch.zeros(len(p))), scene)
    np.testing.assert_allclose(image[1, 1, 3], 1 - 0.5 ** (0.5 - near), atol=1e-3)


def test_orbit_camera_sees_the_whole_box_and_nothing_of_it_outside() -> None:
    domain = Domain((Axis.uniform(5, -3, 1), Axis.uniform(9, 2, 0.5), Axis.uniform(30, 0, 0.1)))
    for azimuth, elevation in ((0, 0), (30, 25), (200, -80), (90, 90)):
        camera = orbit_camera(domain.bounds, azimuth, elevation, 80, 60)
        left, right, bottom, top = camera.project_box(domain.bounds)
        assert 0 < left < right < 80
        assert 0 < bottom < top < 60


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_levels_hold_every_pixel_exactly_once_and_double(width: int, height: int, stride: int) -> None:
    seen = np.zeros((height, width), int)
    for level in build_levels(width, height, stride):
        np.add.at(seen, (level.rows, level.columns), 1)
        lattice = seen[:: level.stride, :: level.stride]
        checker = np.add.outer(np.arange(lattice.shape[0]), np.arange(lattice.shape[1])) % 2 == 0
        assert (lattice[checker] == 1).all()
        assert (lattice[~checker] == (0 if level.centres else 1)).all()
        assert seen.sum() == lattice.sum()
    assert (seen == 1).all()


@given(st.integers(2, 40), st.integers(2, 40), st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_filling_reproduces_a_plane_inside_the_lattice_and_keeps_its_nodes(
    w: int, h: int, stride: int, checker: bool
) -> None:
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    plane = (2 * x + 3 * y)[..., None]
    filled = fill_unfinished(plane, stride, checker)
    columns, rows = (w - 1) // stride * stride, (h - 1) // stride * stride
    inner = (slice(stride, max(rows - stride, 0)), slice(stride, max(columns - stride, 0)))
    np.testing.assert_allclose(filled[inner], plane[inner], atol=1e-3)
    known = np.add.outer(np.arange(0, h, stride) // stride, np.arange(0, w, stride) // stride) % 2 == 0
    kept = known if checker else np.ones_like(known)
    np.testing.assert_array_equal(filled[::stride, ::stride][kept], plane[::stride, ::stride][kept])


def wavy_scene(width: int = 90, height: int = 70) -> tuple[Formula, Scene]:
    domain = Domain((Axis.uniform(40), Axis.uniform(30), Axis.uniform(20)))
    field = Formula(domain, lambda p: 0.5 + 0.5 * torch.sin(p[:, 0] * 0.4) * torch.cos(p[:, 1] * 0.5 + p[:, 2] * 0.2))
    camera = orbit_camera(domain.bounds, 35, 20, width, height)
    return field, Scene(camera, domain.bounds, GREY_RAMP, 10.0, 1.0)


def test_refinement_ends_with_the_complete_picture_and_draws_no_pixel_twice() -> None:
    field, scene = wavy_scene()
    complete = render_complete(field, scene)
    once, field.samples = field.samples, 0
    picture = ProgressivePicture(field, scene, Speed(2e4))
    errors, fractions = [], []
    for _ in range(10000):
        done = picture.advance(1e-4)
        errors.append(float(np.abs(picture.image - complete).mean()))
        fractions.append(picture.finished / picture.total)
        if done:
            break
    assert len(errors) > 5, "the picture was not drawn in slices"
    assert errors[0] > 1e-3
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    np.testing.assert_allclose(picture.image, complete, atol=1e-6)
    assert field.samples == pytest.approx(once, rel=0.02)
    assert picture.advance(1e-4), "a complete picture stays complete"


def test_the_first_slice_already_shows_the_whole_volume() -> None:
    field, scene = wavy_scene()
    complete = render_complete(field, scene)
    picture = ProgressivePicture(field, scene, Speed(2e4))
    picture.advance(1e-4)
    assert picture.finished < picture.total
    inside = complete[..., 3] > 0.2
    assert (picture.image[..., 3][inside] > 0).mean() > 0.9


def test_a_time_slice_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # By a clock on which only the field takes time, as long as a slow network: how busy the machine is does not matter.
    field, scene = wavy_scene(200, 150)
    now = 0.0

    def slow(points: torch.Tensor) -> torch.Tensor:
        nonlocal now
        now += len(points) * 2e-6
        return points[:, 0] * 0 + 0.5

    monkeypatch.setattr("amgsrn_core.raymarch.progressive.time.perf_counter", lambda: now)
    field.function = slow
    speed, durations = Speed(), []
    ProgressivePicture(field, scene, speed).advance(0.5)
    picture = ProgressivePicture(field, scene, speed)
    done = False
    while not done:
        start = now
        done = picture.advance(0.08)
        durations.append(now - start)
    assert len(durations) > 2
    assert max(durations) < 0.08 + 0.02  # and a batch


def test_what_is_invisible_or_out_of_sight_costs_no_sample() -> None:
    field, scene = wavy_scene()
    render_complete(field, Scene(scene.camera, scene.bounds, constant(0.0), 1.0, 1.0))
    aside = Camera(scene.camera.data_to_clip + np.array([[0] * 4, [0] * 4, [0] * 4, [0] * 4]), 90, 70)
    aside.data_to_clip[0] += 9 * aside.data_to_clip[3]
    render_complete(field, Scene(aside, scene.bounds, GREY_RAMP, 1.0, 1.0))
    covered = Scene(scene.camera, scene.bounds, GREY_RAMP, 1.0, 1.0, np.zeros((70, 90), np.float32))
    render_complete(field, covered)
    assert field.samples == 0


def test_opaque_rays_end_early() -> None:
    field, scene = wavy_scene()
    render_complete(field, Scene(scene.camera, scene.bounds, constant(0.001), 1.0, 0.25))
    clear, field.samples = field.samples, 0
    render_complete(field, Scene(scene.camera, scene.bounds, constant(0.9999), 1.0, 0.25))
    assert field.samples < 0.6 * clear


def test_lookup_interpolates_and_clamps() -> None:
    table = TransferFunction(torch.tensor([[0.0, 0, 0, 0], [1.0, 0.5, 0, 1]]), (10.0, 20.0))
    colours = table.lookup(torch.tensor([-5.0, 10.0, 15.0, 20.0, 99.0, torch.inf, -torch.inf, torch.nan]))
    np.testing.assert_allclose(colours[:, 0], [0, 0, 0.5, 1, 1, 1, 0, 0])
    flat = TransferFunction(table.table, (3.0, 3.0))
    np.testing.assert_allclose(flat.lookup(torch.tensor([3.0, 3.1]))[:, 3], [0, 1])


@pytest.mark.parametrize(
    ("table", "value_range"), [(torch.zeros(1, 4), (0, 1)), (torch.zeros(2, 3), (0, 1)), (torch.zeros(2, 4), (1, 0))]
)
def test_impossible_transfer_functions_are_refused(table: torch.Tensor, value_range: tuple[float, float]) -> None:
    with pytest.raises(InvalidTransferFunction):
        TransferFunction(table, value_range)
