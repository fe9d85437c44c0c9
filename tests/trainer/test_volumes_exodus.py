# SPDX-License-Identifier: BSD-3-Clause
"""Exodus II files: blocks of elements, variables at nodes and in elements, time steps, and what is missing in them."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest

from trainer import errors
from trainer.volumes import open_volume
from trainer.volumes.exodus import ExodusReader

# Two hexahedra side by side, a wedge on top of the second, a tetrahedron on top of the first, and a shell.
POINTS = np.array(
    [[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1, 2)] + [[1, 0, 2], [1, 1, 2], [0.5, 0.5, 2]], dtype=float
)
HEXES = [[1, 2, 5, 4, 7, 8, 11, 10], [2, 3, 6, 5, 8, 9, 12, 11]]
WEDGES = [[8, 9, 13, 11, 12, 14]]
TETS = [[7, 8, 10, 15]]
SHELLS = [[1, 2, 5, 4]]
BLOCKS = [("HEX8", HEXES), ("WEDGE6", WEDGES), ("TETRA", TETS), ("SHELL4", SHELLS)]
TIMES = [0.0, 0.5]


def nodal(step):
    return POINTS @ [1.0, 2.0, 3.0] + 10 * step


def write(path, large=True, shift=0.0, nodal_names=("T", "p"), in_elements=("s",)):
    """A file as version 2 (one variable per name) or, not large, as older versions write it."""
    with netCDF4.Dataset(str(path), "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.setncatts({"api_version": np.float32(8.03), "version": np.float32(8.03), "title": "test"})
        dimensions = {
            "len_name": 33,
            "time_step": None,
            "num_dim": 3,
            "num_nodes": len(POINTS),
            "num_el_blk": len(BLOCKS),
        }
        for name, count in dimensions.items():
            file.createDimension(name, count)
        file.createVariable("time_whole", "f8", ("time_step",))
        if large:
            for axis, name in enumerate("xyz"):
                file.createVariable(f"coord{name}", "f8", ("num_nodes",))[:] = POINTS[:, axis] + shift
        else:
            file.createVariable("coord", "f8", ("num_dim", "num_nodes"))[:] = POINTS.T + shift
        for number, (kind, elements) in enumerate(BLOCKS, 1):
            dims = (f"num_el_in_blk{number}", f"num_nod_per_el{number}")
            for name, count in zip(dims, np.shape(elements), strict=True):
                file.createDimension(name, count)
            connect = file.createVariable(f"connect{number}", "i4", dims)
            connect.elem_type = kind
            connect[:] = elements
        for table, size, names in (
            ("name_nod_var", "num_nod_var", nodal_names),
            ("name_elem_var", "num_elem_var", in_elements),
        ):
            if not names:
                continue
            file.createDimension(size, len(names))
            made = file.createVariable(table, "S1", (size, "len_name"))
            made[:] = netCDF4.stringtochar(np.array([n.encode() for n in names], "S33"))
        if not large:
            both = file.createVariable("vals_nod_var", "f8", ("time_step", "num_nod_var", "num_nodes"))
        for step, time in enumerate(TIMES):
            file["time_whole"][step] = time
            for number, name in enumerate(nodal_names, 1):
                values = nodal(step) * (1 if name == "T" else -1)
                if large:
                    key = f"vals_nod_var{number}"
                    if key not in file.variables:
                        file.createVariable(key, "f4", ("time_step", "num_nodes"))
                    file[key][step] = values
                else:
                    both[step, number - 1] = values
            for block in (1, 2) if in_elements else ():  # the others have no such variable
                key, dim = f"vals_elem_var1eb{block}", f"num_el_in_blk{block}"
                if key not in file.variables:
                    file.createVariable(key, "f8", ("time_step", dim))
                file[key][step] = np.arange(len(BLOCKS[block - 1][1])) + 10.0 * block
    return path


@pytest.mark.parametrize("large", [True, False])
def test_variables_at_nodes(tmp_path, large):
    with open_volume(write(tmp_path / "v.exo", large)) as reader:
        assert [(i.name, i.steps) for i in reader.variables()] == [("T", 2), ("p", 2), ("s", 2)]
        volume = reader.read("T", 1)
        both = reader.read("T,p", -1)
        layout = reader.layout("T")
        with pytest.raises(errors.TimeNotChosen):
            reader.read("T")
        with pytest.raises(errors.NoSuchTime):
            reader.read("T", 2)
        with pytest.raises(errors.NoSuchVariable, match="choose one of: T, p, s"):
            reader.read("q", 0)
        with pytest.raises(errors.VariableNotChosen):
            reader.read(None, 0)
    mesh = volume.mesh
    np.testing.assert_array_equal(mesh.points, POINTS)
    np.testing.assert_allclose(mesh.values[:, 0], nodal(1))
    np.testing.assert_array_equal(mesh.hexahedra + 1, HEXES)
    assert len(mesh.tetrahedra) == 3 + 1
    edges = mesh.points[mesh.tetrahedra][:, 1:] - mesh.points[mesh.tetrahedra][:, :1]
    assert (np.linalg.det(edges) > 0).all()
    assert np.linalg.det(edges).sum() / 6 == pytest.approx(0.5 + 1 / 6)
    assert volume.domain.bounds == (0, 2, 0, 1, 0, 2)
    assert volume.domain.time == 0.5
    assert volume.source.bytes == (4 if large else 8) * len(POINTS)
    assert (both.name, both.names) == ("T_p", ("T", "p"))
    np.testing.assert_allclose(both.mesh.values[:, 1], -nodal(1))
    assert (layout.steps, layout.times, layout.domain.time) == (2, (0.0, 0.5), None)
    assert layout.domain.axes == volume.domain.axes
    assert any("SHELL4" in note for note in volume.notes)


def test_the_lattice_shows_a_linear_field(tmp_path):
    with open_volume(write(tmp_path / "v.ex2", shift=5.0)) as reader:
        volume = reader.read("T", 0)
    z, y, x = np.meshgrid(*(axis.nodes() - 5 for axis in reversed(volume.domain.axes)), indexing="ij")
    valid = np.isfinite(volume.values[..., 0])
    np.testing.assert_allclose(volume.values[valid, 0], (x + 2 * y + 3 * z)[valid], atol=1e-5)
    assert valid[z <= 1].all()
    assert not valid[(z > 1.01) & (x < 1) & (np.abs(x + y) > 1)].any()


def test_variables_in_elements_are_averaged(tmp_path):
    with open_volume(write(tmp_path / "v.e")) as reader:
        volume = reader.read("s", 0)
    # The hexahedra have 10 and 11, the wedge 20, the tetrahedron none.
    expected = [10, 10.5, 11, 10, 10.5, 11, 10, 41 / 3, 15.5, 10, 41 / 3, 15.5, 20, 20, np.nan]
    np.testing.assert_allclose(volume.mesh.values[:, 0], expected, rtol=1e-6)
    assert "averaged to nodes" in volume.notes[0]


def test_a_file_without_results(tmp_path):
    path = write(tmp_path / "v.e", nodal_names=(), in_elements=())
    with open_volume(path) as reader, pytest.raises(errors.NoVolumeInFile):
        reader.read()


def test_truncated_and_incomplete_files(tmp_path):
    content = write(tmp_path / "v.e").read_bytes()
    for share in (0.02, 0.5, 0.95):
        path = tmp_path / "cut.e"
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(errors.VolumeFileDamaged):
            open_volume(path)
    path = write(tmp_path / "w.e")
    with netCDF4.Dataset(str(path), "a") as file:
        file.renameVariable("vals_nod_var1", "other")
    with open_volume(path) as reader, pytest.raises(errors.VolumeFileDamaged, match="vals_nod_var"):
        reader.read("T", 0)


def test_corners_that_are_not_there(tmp_path):
    path = write(tmp_path / "v.e")
    with netCDF4.Dataset(str(path), "a") as file:
        file["connect3"][0, 0] = 99
    with open_volume(path) as reader, pytest.raises(errors.VolumeFileDamaged, match="nodes that are not there"):
        reader.read("T", 0)


def test_elements_with_too_few_nodes(tmp_path):
    path = write(tmp_path / "v.e")
    with netCDF4.Dataset(str(path), "a") as file:
        block = next(v for name, v in file.variables.items() if name.startswith("connect") and v.shape[1] < 8)
        block.elem_type = "HEX8"
    with open_volume(path) as reader, pytest.raises(errors.VolumeFileDamaged, match="HEX8 have too few nodes"):
        reader.read("T", 0)


def test_times_that_are_no_numbers(tmp_path):
    path = write(tmp_path / "v.e")
    with netCDF4.Dataset(str(path), "a") as file:
        file["time_whole"][0] = np.nan
    with open_volume(path) as reader:
        assert reader.read("T", 0).domain.time is None
        assert reader.layout("T").times is None


def test_files_that_vtk_writes(tmp_path):
    """Another author's idea of the format: the same mesh, the same values."""
    pytest.importorskip("vtkmodules", reason="pip install vtk")
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkUnstructuredGrid
    from vtkmodules.vtkIOExodus import vtkExodusIIWriter

    data, points = vtkUnstructuredGrid(), vtkPoints()
    points.SetData(numpy_to_vtk(POINTS[:12], deep=1))
    data.SetPoints(points)
    for corners in HEXES:
        data.InsertNextCell(12, 8, [c - 1 for c in corners])
    values = numpy_to_vtk(nodal(0)[:12], deep=1)
    values.SetName("T")
    data.GetPointData().AddArray(values)
    writer = vtkExodusIIWriter()
    writer.SetFileName(str(tmp_path / "v.ex2"))
    writer.SetInputData(data)
    assert writer.Write()
    with open_volume(tmp_path / "v.ex2") as reader:
        volume = reader.read("T", 0)
    assert len(volume.mesh.hexahedra) == 2
    order = np.lexsort(volume.mesh.points.T)
    np.testing.assert_array_equal(volume.mesh.points[order], POINTS[:12][np.lexsort(POINTS[:12].T)])
    np.testing.assert_allclose(volume.mesh.values[:, 0], volume.mesh.points @ [1.0, 2.0, 3.0])


def test_a_mesh_is_read_once_for_all_that_is_asked(tmp_path, monkeypatch):
    path, calls, original = write(tmp_path / "v.e"), [], ExodusReader._meshed

    def counted(reader, names, time, must_choose):
        calls.append(names)
        return original(reader, names, time, must_choose)

    monkeypatch.setattr(ExodusReader, "_meshed", counted)
    with open_volume(path) as reader:
        reader.fingerprint("T", 0)
        reader.layout("T", 0)
        reader.read("T", 0)
        assert len(calls) == 1
        reader.layout("T")
        with pytest.raises(errors.TimeNotChosen):
            reader.read("T")
