# SPDX-License-Identifier: BSD-3-Clause
"""Parts of volumes, several variables at once, and what is known before anything is read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import errors
from trainer.volumes import array_name, open_volume
from trainer.volumes.region import slices
from trainer.volumes.tiles import TILE_BYTES, decoded_values, tiles

SHAPE = (11, 14, 17)
PACKED = {"scale_factor": 0.5, "add_offset": 300.0, "_FillValue": np.int16(-9)}


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_netcdf):
    """One file per combination of descending axes and chunks, each with steps of packed values, some missing."""
    folder = tmp_path_factory.mktemp("regions")
    stored = np.random.default_rng(1).integers(-10, 90, (3, *SHAPE)).astype(np.int16)
    found = {}
    for descending, chunks in itertools.product(("", "x", "yz", "xyz"), (None, (2, 4, 5, 6), (1, 11, 14, 17))):
        coordinates = {"time": np.array([0.0, 1.5, 3.0])}
        for name, count in zip("zyx", SHAPE, strict=True):
            nodes = np.arange(count) ** 1.25
            coordinates[name] = nodes[::-1] if name in descending else nodes
        options = {"contiguous": True} if chunks is None else {"chunksizes": chunks, "zlib": True}
        name = f"v{descending}{chunks and chunks[0]}.nc"
        found[descending, chunks] = write_netcdf(
            folder / name,
            {"v": stored, "w": stored + 1},
            ("time", "z", "y", "x"),
            coordinates,
            {"v": PACKED, "w": PACKED},
            **options,
        )
    return found


@st.composite
def regions(draw: st.DrawFn) -> tuple:
    part = []
    for count in reversed(SHAPE):
        first = draw(st.integers(0, count - 2))
        part.append((first, draw(st.integers(first + 1, count - 1))))
    return tuple(part)


@given(
    region=regions(),
    time=st.integers(0, 2),
    descending=st.sampled_from(["", "x", "yz", "xyz"]),
    chunks=st.sampled_from([None, (2, 4, 5, 6), (1, 11, 14, 17)]),
    variables=st.sampled_from(["v", "w", ("v", "w"), "w,v"]),
)
@settings(deadline=None, max_examples=60)
def test_a_region_is_a_slice_of_the_whole(files, region, time, descending, chunks, variables):
    with open_volume(files[descending, chunks]) as reader:
        whole = reader.read(variables, time)
        before = reader.bytes_read
        part = reader.read(variables, time, region)
        decoded = reader.bytes_read - before
        layout = reader.layout(variables, time)
    z, y, x = slices(region)
    np.testing.assert_array_equal(part.values, whole.values[z, y, x])
    assert part.values.flags.c_contiguous
    assert layout.domain == whole.domain
    for axis, mine, s in zip(whole.domain.axes, part.domain.axes, (x, y, z), strict=True):
        np.testing.assert_allclose(mine.nodes(), axis.nodes()[s])
    assert part.domain.time == whole.domain.time == 1.5 * time
    assert part.names == whole.names
    assert part.valid == np.isfinite(part.values[..., 0]).sum()
    assert part.source.bytes == 2 * part.values.size <= decoded <= before


def test_only_the_chunks_of_a_region_are_decoded(tmp_path, write_netcdf):
    values = np.zeros((40, 40, 40), np.float32)
    path = write_netcdf(tmp_path / "v.nc", {"v": values}, chunksizes=(8, 10, 20))
    with open_volume(path) as reader:
        reader.read(region=((19, 20), (10, 19), (9, 30)))
        assert reader.bytes_read == 4 * 40 * 10 * 24  # 2, 1 and 3 chunks along x, y and z


def test_chunks_are_where_the_layout_says(files):
    with open_volume(files["xyz", (2, 4, 5, 6)]) as reader:
        layout = reader.layout("v")
    assert (layout.chunks, layout.steps, layout.times, layout.itemsize) == ((6, 5, 4), 3, (0.0, 1.5, 3.0), 2)
    # Turned around, the incomplete chunk comes first: 17 = 5 + 6 + 6, 14 = 4 + 5 + 5, 11 = 3 + 4 + 4.
    starts = [layout.chunk_starts(axis).tolist() for axis in range(3)]
    assert starts == [[0, 5, 11], [0, 4, 9], [0, 3, 7]]
    with open_volume(files["", (2, 4, 5, 6)]) as reader:
        layout = reader.layout("v", 2)
    assert [layout.chunk_starts(axis).tolist() for axis in range(3)] == [[0, 6, 12], [0, 5, 10], [0, 4, 8]]
    assert layout.domain.time == 3.0
    with open_volume(files["", None]) as reader:
        layout = reader.layout("v")
    assert layout.chunks is None
    assert layout.chunk_starts(0).tolist() == list(range(17))


@pytest.mark.parametrize("region", [((0, 17), (0, 3), (0, 3)), ((2, 2), (0, 3), (0, 3)), ((-1, 3), (0, 3), (0, 3))])
def test_regions_that_are_none(files, region):
    with (
        open_volume(files["", None]) as reader,
        pytest.raises(errors.InvalidRegion, match="not a part of 17 x 14 x 11 nodes"),
    ):
        reader.read("v", 0, region)


def test_a_node_without_one_component_has_none(tmp_path, write_netcdf, smooth_volume):
    u, v = smooth_volume(), smooth_volume() + 10
    u[1, 2, 3], v[4, 5, 6], u[0, 0, 0] = np.nan, np.nan, np.inf
    attributes = {"u": {"units": "m/s"}, "v": {"units": "km/h"}}
    with open_volume(write_netcdf(tmp_path / "v.nc", {"u": u, "v": v}, attributes=attributes)) as reader:
        volume = reader.read(["u", "v"])
    gone = np.isnan(volume.values)
    assert gone.sum() == 6
    assert all(gone[node].all() for node in ((1, 2, 3), (4, 5, 6), (0, 0, 0)))
    assert volume.missing == 3
    kept = np.isfinite(u + v)
    expected = [(float(a[kept].min()), float(a[kept].max())) for a in (u, v)]
    assert list(volume.ranges) == expected
    assert (volume.name, volume.units, volume.source.variable) == ("u_v", ("m/s", "km/h"), "u,v")
    info = volume.array_info()
    assert (info.components, info.component_names, info.units) == (2, ("u", "v"), "")


def test_variables_on_other_nodes_do_not_make_one_volume(tmp_path):
    import netCDF4

    with netCDF4.Dataset(str(tmp_path / "v.nc"), "w") as file:
        for name, count in (("z", 4), ("y", 5), ("x", 6), ("face", 7)):
            file.createDimension(name, count)
        file.createVariable("u", "f4", ("z", "y", "face"))[:] = 1.0
        file.createVariable("p", "f4", ("z", "y", "x"))[:] = 1.0
    with open_volume(tmp_path / "v.nc") as reader:
        with pytest.raises(errors.VariablesDiffer, match=r"'p' and 'u'.*not on the same nodes"):
            reader.read("p,u")
        with pytest.raises(errors.NoSuchVariable, match="no variable 'q'"):
            reader.read("p,q")
        with pytest.raises(errors.VariableRepeated, match=r"'p' of .* is asked for twice"):
            reader.read("p,p")


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        (("density",), "density"),
        (("u", "v", "w"), "u_v_w"),
        (("x_velocity", "y_velocity", "z_velocity"), "velocity"),
        (("velocityX", "velocityY", "velocityZ"), "velocity"),
        (("Bx", "By", "Bz"), "Bx_By_Bz"),
        (("vel_0", "vel_1"), "vel"),
        (("temperature", "salinity"), "temperature_salinity"),
        (("run/u", "run/v"), "run"),
    ],
)
def test_names_of_arrays_of_several_variables(variables, name):
    assert array_name(variables) == name


def test_a_fingerprint_without_reading_everything(files, tmp_path, write_netcdf, smooth_volume):
    def fingerprint(path, variables=None, time=None):
        with open_volume(path) as reader:
            return reader.fingerprint(variables, time)

    plain, chunked = files["", None], files["", (2, 4, 5, 6)]
    assert fingerprint(plain, "v", 0) == fingerprint(chunked, "v", 0)
    different = {fingerprint(plain, v, t) for v in ("v", "w", "v,w", "w,v") for t in range(3)}
    assert len(different) == 12
    values = np.tile(smooth_volume(), (6, 6, 6))
    path = write_netcdf(tmp_path / "big.nc", {"v": values}, chunksizes=(8, 8, 8))
    with open_volume(path) as reader:
        reader.fingerprint()
        assert reader.bytes_read < values.nbytes // 20
    assert fingerprint(path) != fingerprint(write_netcdf(tmp_path / "other.nc", {"v": values + 1}))


@given(
    shape=st.tuples(*[st.integers(2, 40)] * 3),
    chunks=st.none() | st.tuples(*[st.integers(1, 50)] * 3),
    itemsize=st.sampled_from([1, 4, 8, 8 << 14]),
    data=st.data(),
)
def test_tiles_of_a_part_read_every_chunk_in_one_go(shape, chunks, itemsize, data):
    part = []
    for count in shape:
        first = data.draw(st.integers(0, count - 1))
        part.append(slice(first, data.draw(st.integers(first + 1, count))))
    seen = np.zeros(shape, int)
    for tile in tiles(shape, chunks, itemsize, tuple(part)):
        seen[tile] += 1
        assert seen[tile].size
        assert tile[0].stop - tile[0].start == 1 or seen[tile].size * itemsize <= TILE_BYTES
        for s, p, c in zip(tile[1:], part[1:], (chunks or (1, 1, 1))[1:], strict=True):
            assert s.start == p.start or s.start % c == 0
            assert s.stop == p.stop or s.stop % c == 0
    inside = np.zeros(shape, int)
    inside[tuple(part)] = 1
    np.testing.assert_array_equal(seen, inside)
    touched = np.zeros(shape, bool)
    for index in np.argwhere(inside):
        touched[tuple(slice(i // c * c, i // c * c + c) for i, c in zip(index, chunks or (1, 1, 1), strict=True))] = (
            True
        )
    assert decoded_values(shape, chunks, tuple(part)) == touched.sum()
