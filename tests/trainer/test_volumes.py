# SPDX-License-Identifier: BSD-3-Clause
"""Reading NetCDF volumes: what is chosen, how numbers become values, where nodes are, and how much memory it takes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import errors
from trainer.volumes import open_volume
from trainer.volumes.classic import expected_bytes
from trainer.volumes.tiles import TILE_BYTES, tiles


def read(path, variable=None, time=None):
    with open_volume(path) as reader:
        return reader.read(variable, time)


def test_a_plain_volume_is_read_as_it_is(volume_file, smooth_volume):
    volume = read(volume_file)
    np.testing.assert_array_equal(volume.values[..., 0], smooth_volume())
    assert volume.values.shape == (12, 14, 16, 1)
    assert volume.values.dtype == np.float32
    assert volume.values.flags.c_contiguous
    assert volume.domain.dimensions == (16, 14, 12)
    assert volume.domain.bounds == (0, 15, 0, 13, 0, 11)  # no coordinates: nodes are counted
    assert volume.ranges == ((float(smooth_volume().min()), float(smooth_volume().max())),)
    assert volume.missing == 0
    assert volume.source.to_dict() == {
        "file": "volume.nc",
        "variable": "density",
        "time_index": None,
        "bytes": 4 * 12 * 14 * 16,
    }


@pytest.mark.parametrize(
    "file_format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4_CLASSIC"]
)
def test_all_formats_of_netcdf(tmp_path, write_netcdf, smooth_volume, file_format):
    path = write_netcdf(tmp_path / "v.nc", file_format=file_format)
    np.testing.assert_array_equal(read(path).values[..., 0], smooth_volume())


@pytest.mark.parametrize("file_format", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("unlimited", [None, "z"])
@pytest.mark.parametrize("kind", [np.int8, np.int16, np.float64])
def test_classic_files_are_as_long_as_they_have_to_be(tmp_path, write_netcdf, file_format, unlimited, kind):
    """The library would read what is cut off as zeros."""
    variables = {name: np.ones((5, 3, 3), kind) for name in ("v", "w")}
    path = write_netcdf(
        tmp_path / "v.nc",
        variables,
        coordinates={"x": np.arange(3.0), "z": np.arange(5, dtype=np.int16)},
        attributes={"x": {"units": "kilometres"}},
        file_format=file_format,
        unlimited=unlimited,
    )
    size = path.stat().st_size
    assert size - 8 <= expected_bytes(path) <= size
    read(path, "w")
    with path.open("r+b") as file:
        file.truncate(size - 8)
    with pytest.raises(errors.VolumeFileDamaged):
        read(path, "w")


def test_coordinates_units_and_uneven_axes(tmp_path, write_netcdf):
    z = np.array([0.0, 1.0, 3.0, 7.0])
    path = write_netcdf(
        tmp_path / "v.nc",
        {"t2": np.zeros((4, 3, 5), np.float32) + np.arange(5, dtype=np.float32)},
        coordinates={"x": np.linspace(10, 14, 5), "y": np.array([2.0, 4.0, 6.0]), "z": z},
        attributes={"x": {"units": "km"}, "z": {"units": "m"}, "t2": {"units": "K"}},
    )
    volume = read(path)
    assert volume.domain.bounds == (10, 14, 2, 6, 0, 7)
    assert volume.domain.units == ("km", "", "m")
    assert volume.units == ("K",)
    assert [axis.is_uniform for axis in volume.domain.axes] == [True, True, False]
    np.testing.assert_array_equal(volume.domain.axes[2].nodes(), z)


@pytest.mark.parametrize("descending", ["x", "y", "z", "xy", "xyz"])
def test_descending_axes_are_turned_around(tmp_path, write_netcdf, smooth_volume, descending):
    values = smooth_volume((5, 4, 6))
    coordinates, expected = {}, values
    for position, name in enumerate("zyx"):
        nodes = np.arange(values.shape[position], dtype=np.float64) ** 1.5
        coordinates[name] = nodes[::-1] if name in descending else nodes
        expected = np.flip(expected, position) if name in descending else expected
    volume = read(write_netcdf(tmp_path / "v.nc", {"v": values}, coordinates=coordinates))
    np.testing.assert_array_equal(volume.values[..., 0], expected)
    assert all((np.diff(axis.nodes()) > 0).all() for axis in volume.domain.axes)


def test_coordinates_without_order_are_refused(tmp_path, write_netcdf):
    path = write_netcdf(tmp_path / "v.nc", coordinates={"x": np.sin(np.arange(16.0))})
    with pytest.raises(errors.CoordinatesUnusable, match=r"'x'.*neither ascending nor descending"):
        read(path)


PACKED = {
    "short": (np.int16, {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(-999)}, -999),
    "byte as unsigned": (np.int8, {"_Unsigned": "true", "_FillValue": np.int8(-1)}, -1),
    "unsigned byte": (np.uint8, {"scale_factor": 2.0, "missing_value": np.uint8(7)}, 7),
    "valid_range": (np.int16, {"valid_range": np.array([0, 100], np.int16), "scale_factor": 0.5}, 101),
    "valid_min": (np.int32, {"valid_min": np.int32(0)}, -5),
    "double": (np.float64, {"_FillValue": 1e300}, 1e300),
    "float": (np.float32, {"missing_value": np.float32(-1e34)}, np.float32(-1e34)),
    "nan is the fill value": (np.float32, {"_FillValue": np.float32(np.nan)}, np.nan),
}


@pytest.mark.parametrize("case", PACKED)
def test_packed_and_missing_values(tmp_path, write_netcdf, case):
    kind, attributes, missing = PACKED[case]
    stored = np.random.default_rng(0).integers(0, 100, (6, 5, 4)).astype(kind)
    if case == "byte as unsigned":
        stored[0] -= 100  # negative as stored
    stored[2, 3] = missing
    expected = stored.astype(np.float64)
    if attributes.get("_Unsigned"):
        expected = stored.view(np.uint8).astype(np.float64)
    bad = np.isnan(stored) if np.isnan(missing) else stored == kind(missing)
    expected = expected * attributes.get("scale_factor", 1.0) + attributes.get("add_offset", 0.0)
    expected[bad] = np.nan
    volume = read(write_netcdf(tmp_path / "v.nc", {"v": stored}, attributes={"v": attributes}))
    np.testing.assert_allclose(volume.values[..., 0], expected.astype(np.float32), rtol=1e-6)
    assert volume.missing == bad.sum()
    assert volume.source.bytes == stored.nbytes
    assert volume.ranges[0] == pytest.approx((np.nanmin(expected), np.nanmax(expected)))


def test_values_that_are_not_finite_are_missing(tmp_path, write_netcdf, smooth_volume):
    values = smooth_volume()
    values[0, 0, 0], values[1, 0, 0], values[2, 0, 0] = np.inf, -np.inf, np.nan
    volume = read(write_netcdf(tmp_path / "v.nc", {"v": values}))
    assert volume.missing == 3
    assert np.isfinite(volume.ranges).all()


def test_nothing_but_missing_values(tmp_path, write_netcdf):
    path = write_netcdf(tmp_path / "v.nc", {"v": np.full((3, 3, 3), np.nan, np.float32)})
    with pytest.raises(errors.NothingButMissing, match="'v'"):
        read(path)


TIME_HINTS = {
    "units": ("day", {"units": "days since 2000-01-01"}, None),
    "axis": ("step", {"axis": "T"}, None),
    "standard_name": ("when", {"standard_name": "time"}, None),
    "name": ("time", None, None),
    "short name": ("t", None, None),
    "unlimited": ("record", None, "record"),
}


@pytest.mark.parametrize("hint", TIME_HINTS)
def test_time_is_recognised(tmp_path, write_netcdf, smooth_volume, hint):
    name, attributes, unlimited = TIME_HINTS[hint]
    values = np.stack([smooth_volume() + k for k in range(3)])
    path = write_netcdf(
        tmp_path / "v.nc",
        {"v": values},
        (name, "z", "y", "x"),
        coordinates={} if attributes is None else {name: np.array([0.0, 2.5, 5.0])},
        attributes={} if attributes is None else {name: attributes},
        unlimited=unlimited,
    )
    for wanted, index in ((1, 1), (-1, 2), (0, 0)):
        volume = read(path, time=wanted)
        np.testing.assert_array_equal(volume.values[..., 0], values[index])
        assert volume.source.time_index == index
        assert volume.domain.time == (None if attributes is None else 2.5 * index)
    if attributes and "units" in attributes:
        assert volume.domain.time_units == "days since 2000-01-01"
    with pytest.raises(errors.TimeNotChosen, match="3 time steps"):
        read(path)
    for wrong in (3, -4):
        with pytest.raises(errors.NoSuchTime, match="3 time steps"):
            read(path, time=wrong)


def test_time_may_stand_anywhere_and_a_single_step_need_not_be_chosen(tmp_path, write_netcdf):
    values = np.random.default_rng(0).random((4, 3, 5, 2)).astype(np.float32)
    path = write_netcdf(tmp_path / "v.nc", {"v": values}, ("z", "y", "x", "time"))
    np.testing.assert_array_equal(read(path, time=1).values[..., 0], values[..., 1])
    single = write_netcdf(tmp_path / "s.nc", {"v": values[None, ..., 0]}, ("time", "z", "y", "x"))
    np.testing.assert_array_equal(read(single).values[..., 0], values[..., 0])


def test_time_of_a_volume_without_any(volume_file):
    assert read(volume_file, time=0).source.time_index is None
    with pytest.raises(errors.NoSuchTime, match="no time steps"):
        read(volume_file, time=3)


def test_four_dimensions_without_time(tmp_path, write_netcdf, smooth_volume):
    values = np.stack([smooth_volume(), smooth_volume() + 1])
    path = write_netcdf(tmp_path / "v.nc", {"v": values}, ("member", "z", "y", "x"))
    with pytest.raises(errors.NotAVolume, match="4 spatial dimensions"):
        read(path, "v")
    np.testing.assert_array_equal(read(path, "v", time=1).values[..., 0], values[1])
    # A dimension of length 1 does not matter.
    flat = write_netcdf(tmp_path / "f.nc", {"v": values[:1]}, ("member", "z", "y", "x"))
    np.testing.assert_array_equal(read(flat).values[..., 0], values[0])


def test_only_volumes_are_candidates(tmp_path, write_netcdf, smooth_volume):
    path = write_netcdf(
        tmp_path / "v.nc",
        {
            "density": smooth_volume(),
            "xc": smooth_volume() + 100 * np.arange(16),
            "surface": np.zeros((12, 14), np.float32),
        },
        coordinates={"x": np.arange(16.0), "z": np.arange(12.0)},
        attributes={"density": {"coordinates": "xc"}},
    )
    with open_volume(path) as reader:
        assert [(v.name, v.shape, v.steps) for v in reader.variables()] == [("density", (12, 14, 16), None)]
        assert reader.read().source.variables == ("density",)
    with pytest.raises(
        errors.NotAVolume, match=r"2 spatial dimensions, not 3: z \(12\), y \(14\); choose one of: density"
    ):
        read(path, "surface")
    with pytest.raises(errors.NoSuchVariable, match="no variable 'densty'; choose one of: density"):
        read(path, "densty")


def test_several_candidates_are_listed(tmp_path, write_netcdf, smooth_volume):
    path = write_netcdf(tmp_path / "v.nc", {"rho": smooth_volume(), "u": smooth_volume(), "p": smooth_volume()})
    with pytest.raises(errors.VariableNotChosen, match="rho, u, p"):
        read(path)
    assert read(path, "u").source.variable == "u"


def test_no_candidate_at_all(tmp_path, write_netcdf):
    path = write_netcdf(tmp_path / "v.nc", {"map": np.zeros((3, 4), np.float32)}, ("y", "x"))
    with pytest.raises(errors.NoVolumeInFile, match=r"map\(y, x\)"):
        read(path)


def test_variables_in_groups(tmp_path, smooth_volume):
    import netCDF4

    with netCDF4.Dataset(str(tmp_path / "g.nc"), "w") as file:
        for name, count in zip("zyx", (12, 14, 16), strict=True):
            file.createDimension(name, count)
        file.createVariable("x", "f8", ("x",))[:] = np.arange(16.0) * 2
        file.createGroup("run/last").createVariable("v", "f4", ("z", "y", "x"))[:] = smooth_volume()
    volume = read(tmp_path / "g.nc", "run/last/v")
    assert volume.domain.bounds[1] == 30
    np.testing.assert_array_equal(volume.values[..., 0], smooth_volume())


def test_fingerprints_tell_volumes_apart(tmp_path, write_netcdf, smooth_volume):
    one = read(write_netcdf(tmp_path / "a.nc")).fingerprint()
    assert read(write_netcdf(tmp_path / "b.nc", zlib=True)).fingerprint() == one
    changed = smooth_volume()
    changed[5, 5, 5] += 1e-6
    assert read(write_netcdf(tmp_path / "c.nc", {"density": changed})).fingerprint() != one
    moved = write_netcdf(tmp_path / "d.nc", coordinates={"x": np.arange(16.0) + 1})
    assert read(moved).fingerprint() != one


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    chunks=st.none() | st.tuples(*[st.integers(1, 50)] * 3),
    itemsize=st.sampled_from([1, 4, 8, 8 << 14]),
)
def test_tiles_cover_everything_once(shape, chunks, itemsize):
    seen = np.zeros(shape, int)
    for tile in tiles(shape, chunks, itemsize):
        part = seen[tile]
        assert part.size
        part += 1
        planes = part.shape[0]
        assert planes == 1 or part.size * itemsize <= TILE_BYTES
    assert (seen == 1).all()


@pytest.mark.parametrize("options", [{"chunksizes": (64, 64, 64), "zlib": True}, {"contiguous": True}, {}])
def test_memory_is_that_of_the_array(tmp_path, write_netcdf, options):
    """Reading 256^3 values needs hardly more memory than they take; measured in a fresh process."""
    values = np.random.default_rng(0).integers(0, 9, (256, 256, 256)).astype(np.float32)
    path = write_netcdf(tmp_path / "big.nc", {"v": values}, **options)
    script = (
        "import resource, sys, numpy as np\n"
        "from trainer.volumes import open_volume\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak()\n"
        f"with open_volume({str(path)!r}) as reader: volume = reader.read()\n"
        "print(peak() - before, volume.values.nbytes, float(volume.values.astype('f8').sum()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    growth, size, total = done.stdout.split()
    assert float(total) == values.sum(dtype=np.float64)
    assert int(growth) < 1.3 * int(size) + 48 * 2**20
