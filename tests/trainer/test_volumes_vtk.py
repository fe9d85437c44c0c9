# SPDX-License-Identifier: BSD-3-Clause
"""Volumes from files of VTK: XML and legacy, lattices and meshes, arrays at points and in cells, blanking, damage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainer import errors
from trainer.volumes import open_volume

pytest.importorskip("vtkmodules", reason="pip install vtk")

from vtkmodules import vtkIOLegacy, vtkIOXML
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import (
    vtkImageData,
    vtkPolyData,
    vtkRectilinearGrid,
    vtkStructuredGrid,
    vtkUnstructuredGrid,
)

SHAPE = (6, 7, 8)  # z, y, x
Z = np.array([0.0, 1.0, 1.5, 3.0, 7.0, 8.0])


def array(name, values):
    """A VTK array of values [z, y, x] or [z, y, x, c]."""
    components = values.shape[3] if values.ndim == 4 else 1
    made = numpy_to_vtk(np.ascontiguousarray(values).reshape(-1, components).squeeze(), deep=1)
    made.SetName(name)
    return made


def values_at_points():
    return np.random.default_rng(3).random(SHAPE).astype(np.float32)


def vectors_at_points():
    return np.random.default_rng(4).random((*SHAPE, 3))


def values_in_cells():
    return np.random.default_rng(5).integers(0, 200, tuple(n - 1 for n in SHAPE)).astype(np.uint8)


def with_arrays(data):
    data.GetPointData().AddArray(array("scalar", values_at_points()))
    data.GetPointData().AddArray(array("vector", vectors_at_points()))
    data.GetCellData().AddArray(array("cell", values_in_cells()))
    time = numpy_to_vtk(np.array([2.5]), deep=1)
    time.SetName("TimeValue")
    data.GetFieldData().AddArray(time)
    return data


def image():
    data = vtkImageData()
    data.SetExtent(3, 10, 0, 6, -2, 3)
    data.SetOrigin(1, 2, 3)
    data.SetSpacing(0.5, 1, 2)
    return with_arrays(data)


def rectilinear(z=Z):
    data = vtkRectilinearGrid()
    data.SetDimensions(8, 7, 6)
    data.SetXCoordinates(numpy_to_vtk(np.arange(8.0), deep=1))
    data.SetYCoordinates(numpy_to_vtk(np.arange(7.0) ** 2, deep=1))
    data.SetZCoordinates(numpy_to_vtk(np.array(z, dtype=float), deep=1))
    return with_arrays(data)


def nodes():
    """A grid bent a little: points (n, 3), x fastest."""
    z, y, x = np.meshgrid(*(np.arange(float(n)) for n in SHAPE), indexing="ij")
    return np.stack([(x + 0.1 * y).ravel(), (y - 0.05 * z).ravel(), (z + 0.02 * x * y).ravel()], axis=1)


def points(positions):
    made = vtkPoints()
    made.SetData(numpy_to_vtk(positions, deep=1))
    return made


def curvilinear():
    data = vtkStructuredGrid()
    data.SetDimensions(8, 7, 6)
    data.SetPoints(points(nodes()))
    return with_arrays(data)


def unstructured(positions, cells):
    """A grid of cells (type, nodes)."""
    data = vtkUnstructuredGrid()
    data.SetPoints(points(np.asarray(positions, dtype=float)))
    for kind, corners in cells:
        data.InsertNextCell(kind, len(corners), corners)
    return data


def write(path, data, ascii_=False, compressed=True):
    if path.suffix == ".vtk":
        writer = vtkIOLegacy.vtkDataSetWriter()
        writer.SetFileTypeToBinary()
    else:
        writer = getattr(vtkIOXML, f"vtkXML{data.GetClassName().removeprefix('vtk')}Writer")()
        if ascii_:
            writer.SetDataModeToAscii()
        if not compressed:
            writer.SetCompressorTypeToNone()
            writer.SetDataModeToAppended()
            writer.EncodeAppendedDataOff()
    writer.SetFileName(str(path))
    writer.SetInputData(data)
    assert writer.Write()
    return path


def read(path, variables=None, time=None, region=None):
    with open_volume(path) as reader:
        return reader.read(variables, time, region)


WAYS = {
    "compressed": ("v.vti", {}),
    "raw": ("v.vti", {"compressed": False}),
    "text": ("v.vti", {"ascii_": True}),
    "legacy": ("v.vtk", {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_images(tmp_path, way):
    name, options = WAYS[way]
    path = write(tmp_path / name, image(), **options)
    with open_volume(path) as reader:
        about = {info.name: (info.shape, info.components) for info in reader.variables()}
        assert about == {"scalar": ((6, 7, 8), 1), "vector": ((6, 7, 8), 3), "cell": ((5, 6, 7), 1)}
        scalar, vector, cell = (reader.read(n) for n in ("scalar", "vector", "cell"))
        part = reader.read("scalar", region=((1, 4), (2, 6), (3, 5)))
        cells = reader.read("cell", region=((1, 4), (2, 5), (3, 4)))
    np.testing.assert_array_equal(scalar.values[..., 0], values_at_points())
    np.testing.assert_array_equal(vector.values, vectors_at_points().astype(np.float32))
    np.testing.assert_array_equal(cell.values[..., 0], values_in_cells())
    np.testing.assert_array_equal(part.values, scalar.values[3:6, 2:7, 1:5])
    np.testing.assert_array_equal(cells.values, cell.values[3:5, 2:6, 1:5])
    assert scalar.domain.bounds == (2.5, 6.0, 2.0, 8.0, -1.0, 9.0)
    assert cell.domain.bounds == (2.75, 5.75, 2.5, 7.5, 0.0, 8.0)
    assert part.domain.bounds == (3.0, 4.5, 4.0, 8.0, 5.0, 9.0)
    assert scalar.domain.time == 2.5
    assert "centres" in cell.notes[0]
    assert (vector.name, vector.names, vector.source.variable) == ("vector", ("X", "Y", "Z"), "vector")
    assert vector.array_info().component_names == ("X", "Y", "Z")
    assert vector.source.bytes == 8 * 3 * 6 * 7 * 8


def test_a_vector_and_a_scalar_together(tmp_path):
    volume = read(write(tmp_path / "v.vti", image()), "vector,scalar")
    assert volume.names == ("vector_X", "vector_Y", "vector_Z", "scalar")
    np.testing.assert_array_equal(volume.values[..., 3], values_at_points())
    with pytest.raises(errors.VariablesDiffer):
        read(tmp_path / "v.vti", "cell,scalar")


@pytest.mark.parametrize("suffix", [".vtr", ".vtk"])
@pytest.mark.parametrize("descending", [False, True])
def test_rectilinear_grids(tmp_path, suffix, descending):
    z = Z[::-1] if descending else Z
    path = write(tmp_path / f"v{suffix}", rectilinear(z))
    volume, cell = read(path, "scalar"), read(path, "cell")
    order = slice(None, None, -1 if descending else 1)
    np.testing.assert_array_equal(volume.values[..., 0], values_at_points()[order])
    np.testing.assert_array_equal(cell.values[..., 0], values_in_cells()[order])
    np.testing.assert_array_equal(volume.domain.axes[2].nodes(), Z)
    np.testing.assert_array_equal(cell.domain.axes[2].nodes(), 0.5 * (Z[1:] + Z[:-1]))
    np.testing.assert_array_equal(volume.domain.axes[1].nodes(), np.arange(7.0) ** 2)


def test_coordinates_without_order(tmp_path):
    with pytest.raises(errors.CoordinatesUnusable, match="'z'"):
        read(write(tmp_path / "v.vtr", rectilinear([0, 2, 1, 3, 4, 5])), "scalar")


@pytest.mark.parametrize("suffix", [".vti", ".vtr"])
def test_blanked_points_and_cells_are_missing(tmp_path, suffix):
    data = image() if suffix == ".vti" else rectilinear()
    for attributes, hidden, node in ((data.GetPointData(), 2, 100), (data.GetCellData(), 32, 50)):
        flags = np.zeros(attributes.GetArray(0).GetNumberOfTuples(), np.uint8)
        flags[node], flags[node + 1] = hidden, 1  # of another process: the value counts
        ghosts = numpy_to_vtk(flags, deep=1)
        ghosts.SetName("vtkGhostType")
        attributes.AddArray(ghosts)
    path = write(tmp_path / f"v{suffix}", data)
    with open_volume(path) as reader:
        assert [info.name for info in reader.variables()] == ["scalar", "vector", "cell"]
    for name, node in (("scalar", 100), ("cell", 50)):
        volume = read(path, name)
        assert volume.missing == 1
        assert np.isnan(volume.values.reshape(-1)[node])


def test_points_between_hidden_cells_are_missing(tmp_path):
    data = image()
    flags = np.zeros((5, 6, 7), np.uint8)
    flags[1:3, 2:4, 5:] = 32  # up to the end along x
    ghosts = numpy_to_vtk(flags.ravel(), deep=1)
    ghosts.SetName("vtkGhostType")
    data.GetCellData().AddArray(ghosts)
    path = write(tmp_path / "v.vti", data)
    expected = np.zeros(SHAPE, bool)
    expected[2, 3, 6:] = True
    np.testing.assert_array_equal(np.isnan(read(path, "scalar").values[..., 0]), expected)
    part = read(path, "scalar", None, ((4, 7), (2, 4), (2, 5)))
    np.testing.assert_array_equal(np.isnan(part.values[..., 0]), expected[2:6, 2:5, 4:8])
    np.testing.assert_array_equal(np.isnan(read(path, "cell").values[..., 0]), flags > 0)


def test_a_turned_image_says_so(tmp_path):
    data = image()
    data.SetDirectionMatrix(0, 1, 0, -1, 0, 0, 0, 0, 1)
    assert "turned" in read(write(tmp_path / "v.vti", data), "scalar").notes[0]


def test_files_that_name_others(tmp_path):
    from vtkmodules.vtkIOParallelXML import vtkXMLPImageDataWriter

    writer = vtkXMLPImageDataWriter()
    writer.SetFileName(str(tmp_path / "v.pvti"))
    writer.SetNumberOfPieces(2)
    writer.SetStartPiece(0)
    writer.SetEndPiece(1)
    writer.SetInputData(image())
    assert writer.Write()
    np.testing.assert_array_equal(read(tmp_path / "v.pvti", "scalar").values[..., 0], values_at_points())
    part = read(tmp_path / "v.pvti", "scalar", None, ((1, 4), (2, 6), (1, 5)))
    np.testing.assert_array_equal(part.values[..., 0], values_at_points()[1:6, 2:7, 1:5])


@pytest.mark.parametrize("suffix", [".vts", ".vtk"])
def test_curvilinear_grids(tmp_path, suffix):
    path = write(tmp_path / f"v{suffix}", curvilinear())
    with open_volume(path) as reader:
        assert next((i.name, i.shape, i.components) for i in reader.variables()) == ("scalar", SHAPE, 1)
        volume = reader.read("vector")
    np.testing.assert_array_equal(volume.mesh.points, nodes())
    np.testing.assert_array_equal(volume.mesh.values, vectors_at_points().reshape(-1, 3).astype(np.float32))
    assert volume.mesh.hexahedra.shape == (5 * 6 * 7, 8)
    assert volume.names == ("X", "Y", "Z")
    assert volume.missing > 0


def test_values_of_cells_are_averaged_to_nodes(tmp_path):
    volume = read(write(tmp_path / "v.vts", curvilinear()), "cell")
    padded = np.pad(values_in_cells().astype(float), 1, constant_values=np.nan)
    around = [padded[k : k + 6, j : j + 7, i : i + 8] for k in (0, 1) for j in (0, 1) for i in (0, 1)]
    np.testing.assert_allclose(volume.mesh.values[:, 0], np.nanmean(around, axis=0).ravel(), rtol=1e-6)
    assert "averaged to nodes" in volume.notes[0]


def test_blanked_cells_are_holes(tmp_path):
    data = curvilinear()
    flags = np.zeros(5 * 6 * 7, np.uint8)
    flags[100:105] = 32
    ghosts = numpy_to_vtk(flags, deep=1)
    ghosts.SetName("vtkGhostType")
    data.GetCellData().AddArray(ghosts)
    flags = np.zeros(6 * 7 * 8, np.uint8)
    flags[17] = 2
    hidden = numpy_to_vtk(flags, deep=1)
    hidden.SetName("vtkGhostType")
    data.GetPointData().AddArray(hidden)
    mesh = read(write(tmp_path / "v.vts", data), "scalar").mesh
    assert len(mesh.hexahedra) == 5 * 6 * 7 - 5
    assert np.flatnonzero(np.isnan(mesh.values[:, 0])).tolist() == [17]


# One cell of each kind with volume: VTK's number, and its corners. All fill a part of the cube from 0 to 2.
CUBE = [[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [0, 0, 2], [2, 0, 2], [2, 2, 2], [0, 2, 2]]
KINDS = {
    "hexahedron": (12, [0, 1, 2, 3, 4, 5, 6, 7], 8.0),
    "voxel": (11, [0, 1, 3, 2, 4, 5, 7, 6], 8.0),
    "tetrahedron": (10, [0, 1, 2, 4], 8.0 / 6),
    "wedge": (13, [0, 1, 3, 4, 5, 7], 4.0),
    "pyramid": (14, [0, 1, 2, 3, 4], 8.0 / 3),
}


def volume_of(mesh):
    """By the coordinates of the corners: tetrahedra, and hexahedra that are boxes."""
    tetrahedra = mesh.points[mesh.tetrahedra]
    boxes = mesh.points[mesh.hexahedra]
    return (
        np.linalg.det(tetrahedra[:, 1:] - tetrahedra[:, :1]).sum() / 6
        + np.linalg.det(boxes[:, [1, 3, 4]] - boxes[:, :1]).sum()
    )


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_cell(tmp_path, kind, turn):
    number, corners, expected = KINDS[kind]
    order = np.random.default_rng(turn).permutation(8)  # other corners have the lowest number
    place = np.argsort(order)
    positions = np.array(CUBE, dtype=float)[order]
    data = unstructured(positions, [(number, [int(place[c]) for c in corners])])
    values = positions @ [1.0, 2.0, 3.0]
    made = numpy_to_vtk(values, deep=1)
    made.SetName("v")
    data.GetPointData().AddArray(made)
    volume = read(write(tmp_path / "v.vtu", data))
    assert volume_of(volume.mesh) == pytest.approx(expected)
    assert len(volume.mesh.points) == len(corners)
    x, y, z = np.meshgrid(*(axis.nodes() for axis in volume.domain.axes), indexing="ij")
    exact = (x + 2 * y + 3 * z).transpose(2, 1, 0)
    valid = np.isfinite(volume.values[..., 0])
    np.testing.assert_allclose(volume.values[valid, 0], exact[valid], atol=1e-5)


def test_polyhedra_are_cut_into_tetrahedra(tmp_path):
    from vtkmodules.vtkCommonCore import vtkIdList

    data = vtkUnstructuredGrid()
    data.SetPoints(points(np.array(CUBE, dtype=float)))
    faces = [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
    stream = vtkIdList()
    for number in [len(faces), *(n for face in faces for n in (len(face), *face))]:
        stream.InsertNextId(number)
    data.InsertNextCell(42, stream)
    made = numpy_to_vtk(np.arange(8.0), deep=1)
    made.SetName("v")
    data.GetPointData().AddArray(made)
    volume = read(write(tmp_path / "v.vtu", data))
    assert volume_of(volume.mesh) == pytest.approx(8.0)
    assert not len(volume.mesh.hexahedra)
    assert "tetrahedra" in volume.notes[0]


def test_flat_cells_are_no_volume(tmp_path):
    data = unstructured(CUBE, [(9, [0, 1, 2, 3])])
    made = numpy_to_vtk(np.arange(8.0), deep=1)
    made.SetName("v")
    data.GetPointData().AddArray(made)
    with pytest.raises(errors.NotAVolume, match="no three-dimensional cells"):
        read(write(tmp_path / "v.vtu", data))
    image_of_one_plane = vtkImageData()
    image_of_one_plane.SetDimensions(4, 5, 1)
    image_of_one_plane.GetPointData().AddArray(array("v", np.zeros((1, 5, 4))))
    path = write(tmp_path / "v.vti", image_of_one_plane)
    with pytest.raises(errors.NotAVolume, match="4 x 5 x 1"):
        read(path, "v")
    with pytest.raises(errors.NoVolumeInFile):
        read(path)


def test_a_curvilinear_grid_of_one_plane(tmp_path):
    data = vtkStructuredGrid()
    data.SetDimensions(4, 5, 1)
    data.SetPoints(points(np.random.default_rng(0).random((20, 3))))
    data.GetPointData().AddArray(array("v", np.zeros((1, 5, 4))))
    data.GetCellData().AddArray(array("c", np.zeros((1, 4, 3))))
    path = write(tmp_path / "v.vts", data)
    for name in ("v", "c"):
        with pytest.raises(errors.NotAVolume, match="no three-dimensional cells"):
            read(path, name)


def test_files_of_vtk_that_are_no_volumes(tmp_path):
    surface = vtkPolyData()
    surface.SetPoints(points(np.array(CUBE, dtype=float)))
    for name in ("v.vtp", "v.vtk"):
        with pytest.raises(errors.NotAVolumeFile, match="PolyData"):
            open_volume(write(tmp_path / name, surface))


def test_arrays_that_are_missing(tmp_path):
    data = image()
    data.GetPointData().RemoveArray("scalar")
    data.GetPointData().RemoveArray("vector")
    path = write(tmp_path / "v.vti", data)
    with pytest.raises(errors.NoSuchVariable, match="no variable 'scalar'; choose one of: cell"):
        read(path, "scalar")
    assert read(path).source.variables == ("cell",)
    with pytest.raises(errors.NoSuchTime):
        read(path, "cell", 3)


@pytest.mark.parametrize("name", ["v.vti", "v.vtr", "v.vts", "v.vtu", "v.vtk"])
@pytest.mark.parametrize("share", [0.03, 0.25, 0.6, 0.9])
def test_truncated_files(tmp_path, name, share, capfd):
    data = {".vtr": rectilinear, ".vts": curvilinear, ".vtu": curvilinear}.get(name[1:], image)()
    if name == "v.vtu":
        from vtkmodules.vtkFiltersCore import vtkAppendFilter

        append = vtkAppendFilter()
        append.SetInputData(data)
        append.Update()
        data = append.GetOutput()
    path = write(tmp_path / name, data)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    def read_everything():
        for variable in ("vector", "scalar", "cell"):
            read(path, variable)

    with pytest.raises(errors.VolumeError) as caught:
        read_everything()
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_vtk_is_missing_for(tmp_path):
    """Without VTK one line tells how to install it; other formats do not need it."""
    path = write(tmp_path / "v.vti", image())
    script = (
        "import sys\n"
        "sys.modules['vtkmodules'] = None\n"
        "from trainer.volumes import open_volume\n"
        f"open_volume({str(path)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert "LibraryMissing" in done.stderr
    assert "pip install vtk" in done.stderr


def test_a_real_combustor_is_the_same_in_both_formats(shared_data):
    theirs = read(shared_data / "combustor_curvilinear.vts", "Density")
    mine = read(shared_data / "combustor_curvilinear.nc", "density")
    for name in ("points", "values", "hexahedra", "tetrahedra"):
        np.testing.assert_array_equal(getattr(theirs.mesh, name), getattr(mine.mesh, name))
    np.testing.assert_array_equal(theirs.values, mine.values)
    assert theirs.domain.axes == mine.domain.axes


def test_a_time_that_is_no_number_is_none(tmp_path):
    data = image()
    data.GetFieldData().GetArray("TimeValue").SetTuple1(0, float("nan"))
    assert read(write(tmp_path / "a.vti", data), "scalar").domain.time is None


def test_cells_with_too_few_points_are_damage(tmp_path):
    data = unstructured(np.eye(4, 3), [(12, [0, 1, 2, 3])])
    data.GetPointData().AddArray(array("f", np.arange(4.0)))
    with pytest.raises(errors.VolumeFileDamaged, match="a hexahedron has fewer than 8 points"):
        read(write(tmp_path / "a.vtu", data), "f")


def test_cells_that_are_all_flat_are_no_volume(tmp_path):
    """Two plates above each other, each of hexahedra without height."""
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    plates = [np.concatenate([np.column_stack([square, np.full(4, z)])] * 2) for z in (0.0, 5.0)]
    data = unstructured(np.concatenate(plates), [(12, list(range(8))), (12, list(range(8, 16)))])
    data.GetPointData().AddArray(array("f", np.arange(16.0)))
    with pytest.raises(errors.NotAVolume, match="all its nodes lie in one plane"):
        read(write(tmp_path / "a.vtu", data), "f")
