# SPDX-License-Identifier: BSD-3-Clause
"""Grids whose nodes lie anywhere: which coordinate is which, the mesh they make, and the lattice that shows it."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amgsrn_core import Axis, Domain
from trainer import errors
from trainer.volumes import Mesh, open_volume
from trainer.volumes.region import whole
from trainer.volumes.resampling import lattice_for, resample


def linear(x, y, z):
    """A field that interpolation reproduces."""
    return 1.0 + x - 2.0 * y + 0.5 * z


def lattice_points(domain):
    z, y, x = np.meshgrid(*(axis.nodes() for axis in reversed(domain.axes)), indexing="ij")
    return x, y, z


def write(path, variables, dimensions, coordinates=(), attributes=None):
    """A file of variables {name: (dimensions, values)}; attributes {name: {...}}."""
    with netCDF4.Dataset(str(path), "w") as file:
        for name, count in dimensions.items():
            file.createDimension(name, count)
        for name, (dims, values) in {**dict(coordinates), **variables}.items():
            variable = file.createVariable(name, values.dtype, dims)
            variable.setncatts((attributes or {}).get(name, {}))
            variable[:] = values
    return path


def ring(radii, angles, heights):
    """Nodes [z, y, x] of a ring: x, y, z; radii go along x, angles along y."""
    z, angle, radius = np.meshgrid(heights, angles, radii, indexing="ij")
    return radius * np.cos(angle), radius * np.sin(angle), z


@pytest.fixture
def ring_file(tmp_path):
    """A closed ring with a hole, a linear field on it, and one missing value."""
    x, y, z = ring(np.linspace(1, 2, 8), np.linspace(0, 2 * np.pi, 40), np.linspace(0, 1, 5))
    dims = ("k", "j", "i")
    coordinates = {"xc": (dims, x), "yc": (dims, y), "zc": (dims, z)}
    about = {
        "v": {"coordinates": "yc zc xc", "units": "K"},
        "w": {"coordinates": "yc zc xc"},
        "xc": {"units": "m"},
        "yc": {"units": "m"},
    }
    variables = {"v": (dims, linear(x, y, z)), "w": (dims, x)}
    return write(tmp_path / "ring.nc", variables, dict(zip(dims, x.shape, strict=True)), coordinates, about)


def test_a_ring_is_shown_with_its_hole(ring_file):
    with open_volume(ring_file) as reader:
        assert [info.name for info in reader.variables()] == ["v", "w"]
        volume = reader.read("v,w")
        layout = reader.layout(["v", "w"])
    assert layout.domain == volume.domain
    assert volume.domain.bounds == pytest.approx((-2, 2, -2, 2, 0, 1), abs=0.01)
    assert volume.domain.units == ("m", "m", "")
    assert volume.mesh.points.shape == (8 * 40 * 5, 3)
    assert volume.mesh.hexahedra.shape == (7 * 39 * 4, 8)
    x, y, z = lattice_points(volume.domain)
    radius = np.hypot(x, y)
    valid = np.isfinite(volume.values[..., 0])
    # The polygon of 39 sides lies between these.
    inside = (radius > 1.0) & (radius < 2 * np.cos(np.pi / 39) - 1e-3)
    outside = (radius < np.cos(np.pi / 39) - 1e-3) | (radius > 2 + 1e-3)
    assert valid[inside].all()
    assert not valid[outside].any()
    assert outside.sum() > 100
    assert volume.valid == valid.sum()
    np.testing.assert_allclose(volume.values[valid, 0], linear(x, y, z)[valid], atol=1e-4)
    np.testing.assert_allclose(volume.values[valid, 1], x[valid], atol=1e-4)
    assert volume.source.bytes == 8 * 2 * 8 * 40 * 5
    assert "1,600 nodes" in volume.notes[-1]


def test_a_region_of_a_ring(ring_file):
    with open_volume(ring_file) as reader:
        volume = reader.read("v")
        nx, ny, nz = volume.domain.dimensions
        part = reader.read("v", region=((0, nx // 2), (2, ny - 1), (1, nz - 1)))
    np.testing.assert_array_equal(part.values, volume.values[1:, 2:, : nx // 2 + 1])
    low, high = (np.array(part.domain.bounds[k::2]) for k in (0, 1))
    corners = part.mesh.points[part.mesh.hexahedra]
    assert ((corners.max(axis=1) >= low) & (corners.min(axis=1) <= high)).all()
    assert 0 < len(part.mesh.hexahedra) < len(volume.mesh.hexahedra)


def test_the_mesh_is_part_of_the_fingerprint(ring_file, tmp_path):
    with open_volume(ring_file) as reader:
        volume, early = reader.read("v"), reader.fingerprint("v")
        assert reader.fingerprint("w") != early
    with netCDF4.Dataset(str(ring_file), "a") as file:
        file["v"][0, 0, 0] += 1e-3
    with open_volume(ring_file) as reader:
        assert reader.read("v").fingerprint() != volume.fingerprint()
        assert reader.fingerprint("v") != early


def test_missing_nodes_count_for_the_half_next_to_them(tmp_path):
    nodes = np.arange(5.0)
    z, y, x = np.meshgrid(nodes, nodes, nodes, indexing="ij")
    x = x + 1e-3 * y  # hardly bent
    values = linear(x, y, z)
    values[2, 2, 2] = np.nan
    dims = ("z", "y", "x")
    path = write(
        tmp_path / "v.nc",
        {"v": (dims, values)},
        dict.fromkeys(dims, 5),
        {"xc": (dims, x)},
        {"v": {"coordinates": "xc"}},
    )
    with open_volume(path) as reader:
        mesh = reader.read().mesh
    fine = Domain(tuple(Axis.uniform(33, 0.0, 0.125) for _ in range(3)))
    shown = resample(mesh, fine, whole(fine))[..., 0]
    gone = np.isnan(shown)[:, :, 1:]
    px, py, pz = (c[:, :, 1:] for c in lattice_points(fine))
    weight = np.prod([np.clip(1 - np.abs(c - 2), 0, 1) for c in (px - 1e-3 * py, py, pz)], axis=0)
    np.testing.assert_array_equal(gone, weight > 0.5 + 1e-9)
    assert gone.sum() > 1


DIRECTIONS = {
    "axis": ("a", {"axis": "Y"}, "y"),
    "standard name": ("a", {"standard_name": "longitude"}, "x"),
    "units east": ("a", {"units": "degrees_east"}, "x"),
    "units north": ("a", {"units": "degree_N"}, "y"),
    "pressure": ("a", {"units": "hPa"}, "z"),
    "positive": ("a", {"positive": "down"}, "z"),
    "xc": ("xc", {}, "x"),
    "lat_rho": ("lat_rho", {}, "y"),
    "grid_z": ("grid_z", {}, "z"),
    "nav_lon": ("nav_lon", {}, "x"),
    "nothing": ("position", {}, None),
}


@pytest.mark.parametrize("case", DIRECTIONS)
def test_which_coordinate_is_which(tmp_path, case):
    from trainer.volumes.curvilinear import direction
    from trainer.volumes.netcdf import NetCDFReader

    name, attributes, expected = DIRECTIONS[case]
    path = write(tmp_path / "v.nc", {name: (("n",), np.zeros(3))}, {"n": 3}, {}, {name: attributes})
    with NetCDFReader(path) as reader:
        assert direction(reader._variables()[name]) == expected


def test_coordinates_that_nothing_tells_apart_are_z_y_x(tmp_path):
    dims = ("i", "j", "k")
    first, second, third = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    second = second + 0.1 * first
    coordinates = {"pos1": (dims, first), "pos2": (dims, second), "pos3": (dims, third)}
    path = write(
        tmp_path / "v.nc",
        {"v": (dims, third)},
        {"i": 4, "j": 5, "k": 6},
        coordinates,
        {"v": {"coordinates": "pos1 pos2 pos3"}},
    )
    with open_volume(path) as reader:
        volume = reader.read()
    assert volume.domain.bounds == pytest.approx((0, 5, 0, 4.3, 0, 3))
    assert "taken as z, y, x" in volume.notes[0]


def geographic(tmp_path, longitude, latitude, level=None, dims=("lev", "y", "x"), extra=None):
    shape = (3, *longitude.shape)
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    coordinates = {"lon": (("y", "x"), longitude), "lat": (("y", "x"), latitude)}
    if level is not None:
        coordinates["lev"] = (("lev",), level)
    attributes = {
        "v": {"coordinates": "lon lat", **(extra or {})},
        "lon": {"units": "degrees_east"},
        "lat": {"units": "degrees_north"},
        "lev": {"units": "m"},
    }
    order = [("lev", "y", "x").index(d) for d in dims]
    return write(
        tmp_path / "v.nc",
        {"v": (dims, values.transpose(order))},
        {"lev": 3, "y": shape[1], "x": shape[2]},
        coordinates,
        attributes,
    ), values


@pytest.mark.parametrize("dims", [("lev", "y", "x"), ("y", "x", "lev"), ("x", "lev", "y")])
def test_longitude_and_latitude_of_columns(tmp_path, dims):
    y, x = np.meshgrid(np.arange(6.0), np.arange(7.0), indexing="ij")
    level = np.array([100.0, 50.0, 0.0])  # descending: nodes have their own coordinates
    path, values = geographic(tmp_path, 10 + x + 0.2 * y, 40 + y - 0.1 * x, level, dims)
    with open_volume(path) as reader:
        volume = reader.read()
    assert volume.domain.bounds == pytest.approx((10, 17, 39.4, 45, 0, 100))
    assert volume.domain.units == ("degrees_east", "degrees_north", "m")
    node = np.argmin(np.abs(volume.mesh.points - [10 + 3 + 0.4, 40 + 2 - 0.3, 50.0]).sum(axis=1))
    assert volume.mesh.points[node] == pytest.approx([13.4, 41.7, 50.0])
    assert volume.mesh.values[node, 0] == values[1, 2, 3]
    corners = volume.mesh.points[volume.mesh.hexahedra]
    edges = corners[:, [1, 3, 4]] - corners[:, :1]
    assert (np.linalg.det(edges) > 0).all()


def test_levels_without_coordinates_are_counted(tmp_path):
    y, x = np.meshgrid(np.arange(6.0), np.arange(7.0), indexing="ij")
    path, _ = geographic(tmp_path, 10 + x + 0.2 * y, 40 + y, None, ("y", "x", "lev"))
    with open_volume(path) as reader:
        assert reader.read().domain.bounds == pytest.approx((10, 17, 40, 45, 0, 2))


def test_the_date_line_does_not_tear_a_grid(tmp_path):
    y, x = np.meshgrid(np.arange(6.0), np.arange(10.0), indexing="ij")
    longitude = (175 + x + 0.2 * y + 180) % 360 - 180
    path, _ = geographic(tmp_path, longitude, 40 + y)
    with open_volume(path) as reader:
        volume = reader.read()
    assert volume.domain.bounds[:2] == pytest.approx((175, 185))
    assert len(volume.mesh.hexahedra) == 2 * 5 * 9


def test_cells_around_the_globe_are_left_out(tmp_path):
    y, x = np.meshgrid(np.arange(6.0), np.arange(12.0) * 30, indexing="ij")
    longitude = x + y
    longitude[2, 4] = np.nan  # so that nothing can be unwrapped
    longitude[:, 11] -= 300
    path, _ = geographic(tmp_path, longitude, 40 + y + x / 1000)
    with open_volume(path) as reader:
        volume = reader.read()
    # Of 5 x 11 columns of cells, those with the missing corner and those that jump.
    assert len(volume.mesh.hexahedra) == 2 * (5 * 11 - 4 - 5)


def test_a_straight_grid_with_coordinates_of_two_dimensions_is_a_lattice(tmp_path):
    y, x = np.meshgrid(np.arange(6.0)[::-1], np.arange(7.0) ** 1.5, indexing="ij")
    path, values = geographic(tmp_path, x, y, np.array([0.0, 1.0, 5.0]))
    with open_volume(path) as reader:
        volume = reader.read()
    assert volume.mesh is None
    np.testing.assert_array_equal(volume.values[..., 0], values[:, ::-1])
    np.testing.assert_allclose(volume.domain.axes[0].nodes(), np.arange(7.0) ** 1.5)
    assert volume.domain.units == ("degrees_east", "degrees_north", "m")


def test_a_map_projection_is_straight_in_its_own_coordinates(tmp_path):
    y, x = np.meshgrid(np.arange(6.0), np.arange(7.0), indexing="ij")
    path, values = geographic(tmp_path, 10 + x + 0.2 * y, 40 + y - 0.1 * x)
    with netCDF4.Dataset(str(path), "a") as file:
        for name, standard in (("x", "projection_x_coordinate"), ("y", "projection_y_coordinate")):
            line = file.createVariable(name, "f8", (name,))
            line.standard_name = standard
            line[:] = np.arange(file.dimensions[name].size) * 1000.0
    with open_volume(path) as reader:
        volume = reader.read()
    assert volume.mesh is None
    assert volume.domain.bounds == (0, 6000, 0, 5000, 0, 2)
    np.testing.assert_array_equal(volume.values[..., 0], values)


def test_flat_grids_are_refused(tmp_path):
    y, x = np.meshgrid(np.arange(6.0), np.arange(7.0), indexing="ij")
    path, _ = geographic(tmp_path, 10 + x + 0.2 * y, 40 + 0 * y, np.zeros(3))
    with open_volume(path) as reader, pytest.raises(errors.VolumeError):
        reader.read()


def test_coordinates_that_change_in_time(tmp_path):
    dims = ("time", "z", "y", "x")
    t, z, y, x = np.meshgrid(np.arange(2.0), np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing="ij")
    height = (z + 0.1 * y) * (1 + t)
    path = write(
        tmp_path / "v.nc",
        {"v": (dims, x)},
        dict(zip(dims, x.shape, strict=True)),
        {"height": (dims, height), "time": (("time",), np.array([0.0, 10.0]))},
        {"v": {"coordinates": "height"}, "time": {"units": "s"}},
    )
    with open_volume(path) as reader:
        early, late = reader.read(time=0), reader.read(time=1)
        with pytest.raises(errors.TimeNotChosen):
            reader.read()
    assert early.domain.bounds == pytest.approx((0, 5, 0, 4, 0, 3.4))
    assert late.domain.bounds == pytest.approx((0, 5, 0, 4, 0, 6.8))
    assert late.domain.time == 10.0


@given(seed=st.integers(0, 2**31), counts=st.tuples(*[st.integers(2, 6)] * 3))
@settings(deadline=None, max_examples=25)
def test_linear_fields_in_bent_hexahedra_are_exact(seed, counts):
    """Randomly bent cells cover their lattice without gaps, and interpolate a linear field exactly."""
    random = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in counts), indexing="ij"), axis=-1)
    inner = corners + random.uniform(-0.2, 0.2, corners.shape)
    for axis, n in enumerate(counts):  # the box stays one
        for end in (0, n - 1):
            face = [slice(None)] * 3
            face[axis] = end
            inner[(*face, axis)] = end
    points = inner.transpose(2, 1, 0, 3).reshape(-1, 3)  # x fastest
    nodes = np.arange(len(points)).reshape(counts[::-1])
    order = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
    cells = np.stack(
        [nodes[tuple(slice(k, n - 1 + k) for k, n in zip(o, nodes.shape, strict=True))].ravel() for o in order], 1
    )
    cells[::2] = cells[::2][:, [4, 5, 6, 7, 0, 1, 2, 3]]  # inside out
    values = linear(*points.T).astype(np.float32)[:, None]
    mesh = Mesh.of(points, values, cells, np.zeros((0, 4), np.int64))
    lattice = Domain(tuple(Axis.uniform(11, 0.0, (n - 1) / 10) for n in counts))
    shown = resample(mesh, lattice, whole(lattice))[..., 0]
    np.testing.assert_allclose(shown, linear(*lattice_points(lattice)), atol=1e-4)


def test_tetrahedra_cover_their_hull():
    spatial = pytest.importorskip("scipy.spatial", reason="scipy triangulates the points")
    points = np.random.default_rng(2).random((60, 3))
    cells = spatial.Delaunay(points).simplices.astype(np.int64)
    values = np.stack([linear(*points.T), points[:, 0]], 1).astype(np.float32)
    mesh = Mesh.of(points, values, np.zeros((0, 8), np.int64), cells)
    lattice = lattice_for(mesh)
    shown = resample(mesh, lattice, whole(lattice))
    x, y, z = lattice_points(lattice)
    hull = spatial.Delaunay(points).find_simplex(np.stack([x, y, z], -1).reshape(-1, 3)).reshape(x.shape) >= 0
    valid = np.isfinite(shown[..., 0])
    assert (valid != hull).sum() <= 2  # those on its faces
    np.testing.assert_allclose(shown[valid, 0], linear(x, y, z)[valid], atol=1e-4)
    np.testing.assert_allclose(shown[valid, 1], x[valid], atol=1e-4)


def test_lattices_resolve_cells_but_are_limited():
    def box(counts, size):
        line = [np.linspace(0, s, n) for n, s in zip(counts, size, strict=True)]
        z, y, x = np.meshgrid(*line[::-1], indexing="ij")
        points = np.stack([x.ravel(), y.ravel(), z.ravel()], 1)
        nodes = np.arange(len(points)).reshape(counts[::-1])
        order = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
        cells = np.stack(
            [nodes[tuple(slice(k, n - 1 + k) for k, n in zip(o, nodes.shape, strict=True))].ravel() for o in order], 1
        )
        return Mesh.of(points, np.zeros((len(points), 1), np.float32), cells, np.zeros((0, 4), np.int64))

    assert lattice_for(box((11, 21, 6), (1, 1, 1))).dimensions == (21, 41, 11)
    assert lattice_for(box((1000, 3, 3), (1, 1, 1))).dimensions == (256, 5, 5)
    # Fine cells in one corner of a large box would take too many nodes.
    clustered = box((20, 20, 20), (1, 1, 1))
    sparse = Mesh(clustered.points**6, clustered.values, clustered.hexahedra, clustered.tetrahedra)
    nodes = np.prod(lattice_for(sparse).dimensions)
    assert 0.8 * 16 * 8000 <= nodes <= 1.2 * 16 * 8000
    flat = box((4, 4, 4), (1, 1, 1))
    assert lattice_for(Mesh(flat.points * [1, 1, 0], flat.values, flat.hexahedra, flat.tetrahedra)) is None


def test_a_real_combustor_is_as_vtk_shows_it(shared_data):
    """The library's own resampling finds the same nodes inside, and the same values."""
    pytest.importorskip("vtkmodules", reason="pip install vtk")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersCore import vtkResampleToImage
    from vtkmodules.vtkIOXML import vtkXMLStructuredGridReader

    with open_volume(shared_data / "combustor_curvilinear.nc") as reader:
        volume = reader.read("density")
    theirs = vtkXMLStructuredGridReader()
    theirs.SetFileName(str(shared_data / "combustor_curvilinear.vts"))
    theirs.Update()
    np.testing.assert_array_equal(vtk_to_numpy(theirs.GetOutput().GetPoints().GetData()), volume.mesh.points)
    resampling = vtkResampleToImage()
    resampling.SetInputDataObject(theirs.GetOutput())
    resampling.SetUseInputBounds(False)
    resampling.SetSamplingBounds(*volume.domain.bounds)
    resampling.SetSamplingDimensions(*volume.domain.dimensions)
    resampling.Update()
    arrays = resampling.GetOutput().GetPointData()
    inside = vtk_to_numpy(arrays.GetArray("vtkValidPointMask")).astype(bool)
    mine = volume.values.reshape(-1)
    np.testing.assert_array_equal(np.isfinite(mine), inside)
    np.testing.assert_allclose(mine[inside], vtk_to_numpy(arrays.GetArray("Density"))[inside], atol=2e-6)
