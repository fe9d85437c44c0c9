# SPDX-License-Identifier: BSD-3-Clause
"""Samples from the cells of meshes: equally likely everywhere in space, exact where a cell is, and repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from array_volumes import make_volume
from hypothesis import given, settings
from hypothesis import strategies as st

from amgsrn_core import Axis, Domain
from amgsrn_core.models import AMGSRN, AMGSRNConfig, Mask, MaskedField
from trainer.fields import Fields
from trainer.hexahedra import density_coefficients, spread, trilinear_weights
from trainer.mesh_nodes import mesh_nodes
from trainer.mesh_sampling import MeshSampler
from trainer.metrics import measure
from trainer.probe import Probe
from trainer.samplers import make_sampler
from trainer.settings import FitSettings
from trainer.volumes import Mesh, Volume
from trainer.volumes.cells import structured
from trainer.volumes.meshed import MeshedVariables

CUBE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float64)
# A cube cut into tetrahedra.
SIX = np.array([[0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6], [0, 5, 1, 6]])
NONE = {8: np.empty((0, 8), np.int64), 4: np.empty((0, 4), np.int64)}
DOMAIN = Domain((Axis.uniform(9, 0.0, 0.25), Axis.uniform(7, 1.0, 0.5), Axis.uniform(5, -1.0, 0.5)))  # [0,2][1,4][-1,1]


def box_of_hexahedra(counts: tuple[int, int, int], distortion: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and cells that fill the domain; nodes inside it are moved at random, by a part of half a cell."""
    nx, ny, nz = counts
    x, y, z = (np.linspace(low, high, n + 1) for n, low, high in zip(counts, (0, 1, -1), (2, 4, 1), strict=True))
    nodes = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    inside = nodes[1:-1, 1:-1, 1:-1]
    inside += (
        distortion * 0.5 * np.array([2 / nx, 3 / ny, 2 / nz]) * np.random.default_rng(seed).uniform(-1, 1, inside.shape)
    )
    number = np.arange(nodes[..., 0].size).reshape(nodes.shape[:3])
    corners = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
    cells = [number[c[0] : nz + c[0], c[1] : ny + c[1], c[2] : nx + c[2]].ravel() for c in corners]
    return nodes.reshape(-1, 3), np.stack(cells, axis=1)


def linear(points: np.ndarray) -> np.ndarray:
    """Two linear fields (n, 2)."""
    return np.stack([points @ [1.0, -2.0, 0.5] + 3.0, 1e5 * (points @ [0.2, 0.3, -1.0])], axis=1).astype(np.float32)


def volume_of(points: np.ndarray, values: np.ndarray, hexahedra: np.ndarray, tetrahedra: np.ndarray) -> Volume:
    """A volume with a mesh; what its lattice holds does not matter here."""
    volume = make_volume(np.random.default_rng(0).random((*DOMAIN.shape, values.shape[1])), DOMAIN)
    ranges = tuple((float(np.nanmin(v)), float(np.nanmax(v))) for v in values.T)
    object.__setattr__(volume, "mesh", Mesh(points, values, hexahedra, tetrahedra))
    object.__setattr__(volume, "ranges", ranges)
    return volume


def distorted(kind: str, counts: tuple[int, int, int] = (3, 2, 4), distortion: float = 0.8) -> Volume:
    """The domain filled with distorted cells of a kind, both kinds by halves with 'both'."""
    points, hexahedra = box_of_hexahedra(counts, distortion)
    half = {"hexahedra": len(hexahedra), "tetrahedra": 0, "both": len(hexahedra) // 2}[kind]
    tetrahedra = hexahedra[half:][:, SIX].reshape(-1, 4)
    return volume_of(points, linear(points), hexahedra[:half], tetrahedra)


def world(points: torch.Tensor) -> np.ndarray:
    return DOMAIN.normalized_to_world(points.double()).numpy()


def exact_network() -> AMGSRN:
    """It is 0 everywhere."""
    network = AMGSRN(AMGSRNConfig(outputs=2, transform="srt"))
    with torch.no_grad():
        network.layers[-1].weight.zero_()
    return network


def test_the_volume_of_a_cell_is_that_of_its_tetrahedra() -> None:
    random = np.random.default_rng(0)
    # Parallelepipeds, whose volume is a determinant; and cells with plane faces, frusta of pyramids.
    edges = random.normal(size=(20, 3, 3))
    corners = CUBE @ edges
    found = density_coefficients(corners).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, np.linalg.det(edges), rtol=1e-12)
    frustum = CUBE.copy()
    frustum[4:, :2] = 0.5 + 0.4 * (frustum[4:, :2] - 0.5)
    expected = (1 + 0.16 + 0.4) / 3
    np.testing.assert_allclose(density_coefficients(frustum[None]).mean(), expected, rtol=1e-12)


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_the_density_is_the_determinant_of_the_derivatives(seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = CUBE + random.uniform(-0.4, 0.4, CUBE.shape)
    place = torch.tensor(random.random(3))

    def position(own: torch.Tensor) -> torch.Tensor:
        weights = [torch.where(torch.tensor(c > 0.5), own, 1 - own).prod() for c in CUBE]
        return torch.stack(weights) @ torch.from_numpy(corners)

    expected = float(torch.linalg.det(torch.autograd.functional.jacobian(position, place)))
    coefficients = density_coefficients(corners[None])[0]
    for x in place.numpy():
        coefficients = np.tensordot([(1 - x) ** 2, 2 * x * (1 - x), x * x], coefficients, axes=1)
    assert float(coefficients) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("distortion", [0.0, 0.4, 0.7])
def test_points_of_one_cell_are_equally_likely_everywhere_in_it(distortion: float) -> None:
    """Counted in the 8 parts that halving r, s and t gives, whose volumes are known; and in 64."""
    corners = CUBE + distortion * 0.5 * np.random.default_rng(7).uniform(-1, 1, CUBE.shape)
    coefficients = density_coefficients(corners[None])
    count = 200_000
    own = spread(np.repeat(coefficients, count, axis=0), np.random.default_rng(1).random((3, count))).T
    for parts in (2, 4):
        lines = np.linspace(0, 1, parts + 1)
        index = np.minimum((own * parts).astype(int), parts - 1)
        found = np.zeros((parts,) * 3)
        np.add.at(found, tuple(index.T), 1)
        volumes = np.empty_like(found)
        for cell in np.ndindex(volumes.shape):
            sub = np.array([[lines[cell[k] + int(c[k])] for k in range(3)] for c in CUBE])
            # Sub-cells of a trilinear map are trilinear cells.
            volumes[cell] = density_coefficients((trilinear_weights(sub.T) @ corners)[None]).mean()
        assert scipy.stats.chisquare(found.ravel(), volumes.ravel() / volumes.sum() * count).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["hexahedra", "tetrahedra", "both"])
def test_points_are_equally_likely_everywhere_in_space(kind: str) -> None:
    # More, and tetrahedra would be inside out.
    sampler = MeshSampler(distorted(kind, distortion=0.8 if kind == "hexahedra" else 0.35), 20_000, 3, follow=False)
    points = np.concatenate([sampler.draw(step)[0].numpy() for step in range(5)])
    assert len(points) == 100_000
    found, _ = np.histogramdd(points, bins=(5, 4, 6), range=[(-1, 1)] * 3)
    # Stratified samples are more even than independent ones, never less.
    assert scipy.stats.chisquare(found.ravel()).pvalue > 1e-3


@given(st.sampled_from(["hexahedra", "tetrahedra", "both"]), st.floats(0, 0.9), st.integers(0, 2**40))
def test_linear_fields_are_exact(kind: str, distortion: float, step: int) -> None:
    volume = distorted(kind, distortion=distortion)
    points, targets = MeshSampler(volume, 300, 1, follow=False).draw(step)
    low, high = np.array(volume.ranges).T
    expected = (linear(world(points)) - low) / (high - low)
    np.testing.assert_allclose(targets.numpy(), expected, atol=2e-6)
    assert points.dtype == targets.dtype == torch.float32
    assert points.abs().max() <= 1


def test_a_step_draws_the_same_whatever_was_drawn_before_and_after_restoring() -> None:
    volume = distorted("both")
    one, other = (MeshSampler(volume, 500, 4, follow=True) for _ in range(2))
    one.draw(0)
    assert all(torch.equal(a, b) for a, b in zip(one.draw(7), other.draw(7), strict=True))
    assert not torch.equal(one.draw(7)[0], one.draw(8)[0])
    assert not torch.equal(one.draw(7)[0], MeshSampler(volume, 500, 5, follow=True).draw(7)[0])
    one.attend(100, exact_network())
    assert not torch.equal(one.draw(7)[0], other.draw(7)[0])
    other.restore({name: tensor.clone() for name, tensor in one.state().items()})
    assert torch.equal(one.draw(7)[0], other.draw(7)[0])
    assert one.bias == other.bias


def test_samples_follow_the_error() -> None:
    points, hexahedra = box_of_hexahedra((8, 8, 8), 0.5)
    values = np.where((points[:, :1] > 1.5) & (points[:, 2:] < 0), 1.0, 0.0).repeat(2, axis=1).astype(np.float32)
    volume = volume_of(points, values, hexahedra, NONE[4])
    sampler, unmoved = (MeshSampler(volume, 4000, 0, follow=follow) for follow in (True, False))
    before = float(sampler.draw(0)[1].mean())
    for each in (sampler, unmoved):
        each.attend(100, exact_network())
    squares = np.concatenate([sampler.draw(step)[1].numpy() ** 2 for step in range(5)])
    even = np.concatenate([unmoved.draw(step)[1].numpy() ** 2 for step in range(5)])
    assert float(sampler.draw(0)[1].mean()) > 2 * before
    assert float(unmoved.draw(0)[1].mean()) == before
    assert sampler.bias == pytest.approx(squares.mean() / even.mean(), rel=0.15)


def test_cells_with_a_missing_corner_are_left_out() -> None:
    volume = distorted("hexahedra", (4, 4, 4), 0.0)
    values = volume.mesh.values.copy()
    values[0] = np.nan  # the corner of the box
    points, targets = MeshSampler(
        volume_of(volume.mesh.points, values, volume.mesh.hexahedra, NONE[4]), 5000, 0, False
    ).draw(0)
    assert np.isfinite(targets.numpy()).all()
    in_corner = (world(points) < [0.5, 1.75, -0.5]).all(axis=1)
    assert not in_corner.any()
    assert len(points) == 5000


def test_degenerate_and_inverted_cells_do_no_harm() -> None:
    points, hexahedra = box_of_hexahedra((3, 3, 3), 0.5)
    flat = np.repeat(hexahedra[:1, :1], 8, axis=1)
    inverted = hexahedra[5:9][:, [4, 5, 6, 7, 0, 1, 2, 3]]
    wedge = hexahedra[3:4].copy()
    wedge[:, [2, 6]] = wedge[:, [3, 7]]
    twisted = hexahedra[12:13][:, [0, 1, 3, 2, 4, 5, 6, 7]]
    tetrahedra = np.array([[0, 0, 1, 2], [0, 1, 2, 3]])
    cells = np.concatenate([hexahedra, flat, inverted, wedge, twisted])
    volume = volume_of(points, linear(points), cells, tetrahedra)
    drawn, targets = MeshSampler(volume, 4000, 0, True).draw(0)
    low, high = np.array(volume.ranges).T
    np.testing.assert_allclose(targets.numpy(), (linear(world(drawn)) - low) / (high - low), atol=1e-5)
    nothing = volume_of(points, linear(points), flat, NONE[4])
    assert np.isfinite(MeshSampler(nothing, 100, 0, True).draw(0)[1].numpy()).all()


def test_a_part_of_a_domain_gets_the_points_inside_it() -> None:
    volume = distorted("both", distortion=0.3)
    part = DOMAIN.part(((2, 5), (0, 6), (1, 3)))
    object.__setattr__(volume, "domain", part)
    points, targets = MeshSampler(volume, 6000, 0, False).draw(0)
    assert points.abs().max() <= 1
    # 3 of 8 by 2 of 4 cells of the lattice.
    assert len(points) == pytest.approx(6000 * 3 / 16, rel=0.1)
    low, high = np.array(volume.ranges).T
    expected = (linear(part.normalized_to_world(points.double()).numpy()) - low) / (high - low)
    np.testing.assert_allclose(targets.numpy(), expected, atol=5e-6)


def test_errors_are_those_at_the_nodes_of_the_mesh() -> None:
    volume = distorted("both", (5, 6, 7))
    volume.mesh.values[3] = np.nan
    network = AMGSRN(AMGSRNConfig(4, 1, (4, 4, 4), outputs=2, transform="srt"), seed=3)
    with torch.no_grad():
        network.grids.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    field = Fields.of_volume(volume).of(network)
    found = field.sample(DOMAIN.world_to_normalized(torch.from_numpy(volume.mesh.points)).float()).numpy()
    low, high = np.array(volume.ranges).T
    relative = np.square((found.astype(np.float64) - volume.mesh.values) / (high - low))
    metrics = measure(field, volume)
    assert metrics.psnr_db == pytest.approx(-10 * np.log10(np.nanmean(relative)), abs=1e-5)
    assert metrics.ssim is None
    assert Probe(volume, torch.device("cpu"), 0).psnr(network) == pytest.approx(metrics.psnr_db, abs=1e-4)


def test_the_nodes_of_the_mesh_are_shared_out_among_regions() -> None:
    volume = distorted("both", (5, 6, 7))
    parts = [((0, 3), (0, 6), (0, 4)), ((4, 8), (0, 2), (0, 4)), ((4, 8), (3, 6), (0, 4))]
    counts = [len(mesh_nodes(volume, volume.mesh, part)[0]) for part in parts]
    assert min(counts) > 50
    assert sum(counts) == len(volume.mesh.points)


def test_nodes_that_a_field_does_not_show_are_counted_and_measured() -> None:
    volume = distorted("hexahedra", (4, 4, 4), 0.0)
    network = AMGSRN(AMGSRNConfig(4, 1, (4, 4, 4), outputs=2))
    field = Fields(DOMAIN, volume.array_info()).of(network)
    shown = np.ones(DOMAIN.shape, bool)
    shown[:, :, :3] = False  # x below 0.5; the border is half-way between nodes at 0.5 and 0.75
    masked = MaskedField(field, Mask.of(shown))
    one, other = measure(field, volume), measure(masked, volume)
    assert one.psnr_db == other.psnr_db
    assert one.wrong_gaps is None
    assert other.wrong_gaps == 2 * 5 * 5


def grid_mesh(values: np.ndarray) -> MeshedVariables:
    """A mesh of cubes over [0, 1]^3 with values [z, y, x], as many along each axis."""
    n = len(values)
    z, y, x = np.meshgrid(*[np.linspace(0, 1, n)] * 3, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    mesh = Mesh.of(points, values.reshape(-1, 1), structured((n, n, n)), np.zeros((0, 4), np.int64))
    return MeshedVariables(Path("mesh"), mesh, ("v",), ("v",), ("",))


def test_where_every_cell_misses_a_value_the_lattice_is_learned() -> None:
    values = np.random.default_rng(0).random((6, 6, 6)).astype(np.float32)
    values[np.indices(values.shape).sum(axis=0) % 2 == 0] = np.nan
    volume = grid_mesh(values).volume(None, None)
    assert volume.mesh is None
    assert volume.valid > 0
    assert volume.ranges == ((np.nanmin(volume.values), np.nanmax(volume.values)),)
    points, _ = make_sampler(volume, FitSettings.of(batch=100), exact_network()).draw(0)
    assert len(points) > 0


def test_a_part_between_the_nodes_of_a_mesh_is_measured_at_the_lattice() -> None:
    values = np.random.default_rng(0).random((4, 4, 4)).astype(np.float32)
    meshed = grid_mesh(values)
    axis = Axis.uniform(31, 0.0, 1 / 30)
    meshed.__dict__["domain"] = Domain((axis, axis, axis))
    between = meshed.volume(((1, 4), (1, 4), (1, 4)), None)
    assert between.mesh is None
    assert between.ranges == ((between.values.min(), between.values.max()),)
    around = meshed.volume(((1, 12), (1, 12), (1, 12)), None)
    assert around.mesh is not None
    assert len(mesh_nodes(around, around.mesh)[0]) == 1
