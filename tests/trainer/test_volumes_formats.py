# SPDX-License-Identifier: BSD-3-Clause
"""Which reader opens which file, and the formats with few tests of their own: Zarr, GRIB, raw numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import errors
from trainer.volumes import RawFormat, open_volume
from trainer.volumes.region import slices

SHAPE = (5, 6, 7)


def values(kind=np.float32):
    return np.random.default_rng(1).integers(0, 100, SHAPE).astype(kind)


# ---- what is opened


def test_folders_and_unknown_files(tmp_path):
    with pytest.raises(errors.VolumeFileMissing, match="no such file"):
        open_volume(tmp_path / "nothing")
    with pytest.raises(errors.NotAVolumeFile, match="a folder, and not one of Zarr"):
        open_volume(tmp_path)
    text = tmp_path / "v.txt"
    text.write_text("x,y,z\n")
    with pytest.raises(errors.NotAVolumeFile) as caught:
        open_volume(text)
    for name in ("NetCDF", "VTK", "Exodus", "Zarr", "GRIB", "raw", ".vti", ".ex2"):
        assert name in str(caught.value)
    text.write_text("")
    with pytest.raises(errors.VolumeFileDamaged, match="empty"):
        open_volume(text)


@pytest.mark.parametrize("content", ['<?xml version="1.0"?><html/>', '<VTKFile type="Table" version="1.0">'])
def test_other_xml(tmp_path, content):
    path = tmp_path / "v.vti"
    path.write_text(content)
    with pytest.raises(errors.NotAVolumeFile):
        open_volume(path)


# ---- raw


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("big", [False, True])
def test_raw_numbers(tmp_path, kind, big):
    stored = values(kind)
    path = tmp_path / "head.bin"
    path.write_bytes(b"\1" * 13 + stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes())
    form = RawFormat((7, 6, 5), kind, big, (0.5, 1.0, 2.0), (10.0, 0.0, -1.0), 13)
    with open_volume(path, form) as reader:
        volume = reader.read()
        part = reader.read(region=((1, 4), (2, 5), (0, 3)))
        assert reader.layout().itemsize == stored.itemsize
    np.testing.assert_array_equal(volume.values[..., 0], stored)
    np.testing.assert_array_equal(part.values[..., 0], stored[0:4, 2:6, 1:5])
    assert volume.domain.bounds == (10.0, 13.0, 0.0, 5.0, -1.0, 7.0)
    assert (volume.name, volume.source.bytes) == ("head", stored.nbytes)


@pytest.mark.parametrize(
    ("name", "kind", "variable"),
    [
        ("bonsai_7x6x5_uint8.raw", np.uint8, "bonsai"),
        ("two_words_7x6x5_float32.raw", np.float32, "two_words"),
        ("v_7x6x5_Float64.RAW", np.float64, "v"),
        ("noise_7x6x5_int16.bin", np.int16, "noise"),
        ("w_7x6x5_float.raw", np.float32, "w"),
    ],
)
def test_names_that_say_what_is_inside(tmp_path, name, kind, variable):
    stored = values(kind)
    stored.tofile(tmp_path / name)
    with open_volume(tmp_path / name) as reader:
        volume = reader.read()
    np.testing.assert_array_equal(volume.values[..., 0], stored)
    assert volume.source.variable == variable


def test_what_is_said_counts_more_than_the_name(tmp_path):
    path = tmp_path / "v_7x6x5_uint8.raw"
    values(np.uint8).tofile(path)
    with open_volume(path, RawFormat((5, 7, 6))) as reader:
        assert reader.read().shape == (6, 7, 5)


def test_raw_numbers_that_cannot_be(tmp_path):
    path = tmp_path / "v.raw"
    values().tofile(path)
    with pytest.raises(errors.RawFormatMissing, match="give --shape"):
        open_volume(path)
    with pytest.raises(errors.RawFormatMissing, match="give --dtype"):
        open_volume(path, RawFormat((7, 6, 5)))
    with pytest.raises(
        errors.RawSizeWrong, match=r"840 bytes, 7,6,6 values of type float32 have 1008; correct --shape"
    ):
        open_volume(path, RawFormat((7, 6, 6), "float32"))
    with pytest.raises(errors.VolumeFileDamaged, match="after 4 bytes have 844"):
        open_volume(path, RawFormat((7, 6, 5), "float32", header_bytes=4))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (7, 6, 1)},
        {"dtype": "complex64"},
        {"spacing": (1.0, 0.0, 1.0)},
        {"spacing": (1.0, float("nan"), 1.0)},
        {"origin": (1.0, float("inf"), 1.0)},
        {"header_bytes": -1},
    ],
)
def test_descriptions_that_make_no_sense(wrong):
    with pytest.raises(errors.InvalidOption, match=r"--[a-z]+"):
        RawFormat(**wrong)


# ---- Zarr


@pytest.fixture(params=[2, 3])
def zarr_folder(request, tmp_path):
    """Packed values in time, with a group, of either format."""
    xarray = pytest.importorskip("xarray", reason="pip install xarray zarr")
    pytest.importorskip("zarr", reason="pip install xarray zarr")
    stored = np.random.default_rng(2).integers(-5, 90, (3, *SHAPE)).astype(np.int16)
    attributes = {"scale_factor": 0.5, "add_offset": 10.0, "missing_value": -3, "units": "K"}
    dims = ("time", "z", "y", "x")
    dataset = xarray.Dataset(
        {"v": (dims, stored, attributes), "w": (dims, stored + 1, attributes)},
        {
            "x": ("x", np.arange(7.0)[::-1]),
            "time": ("time", [0.0, 6.0, 12.0], {"units": "hours since 2000-01-01"}),
        },
    )
    path = tmp_path / "v.zarr"
    chunks = {name: {"chunks": (1, 2, 4, 3)} for name in ("v", "w")}
    options = {"zarr_format": request.param, "consolidated": False}
    dataset.to_zarr(path, mode="w", encoding=chunks, **options)
    dataset[["v"]].rename(v="inner").to_zarr(path, mode="a", group="run/last", **options)
    return path, stored


def test_zarr(zarr_folder):
    path, stored = zarr_folder
    expected = np.where(stored == -3, np.nan, stored * 0.5 + 10)[:, :, :, ::-1].astype(np.float32)
    with open_volume(path) as reader:
        assert [(i.name, i.shape, i.steps) for i in reader.variables()] == [
            (name, SHAPE, 3) for name in ("run/last/inner", "v", "w")
        ]
        volume = reader.read("v", 1)
        assert reader.bytes_read == stored[0].nbytes
        inner = reader.read("run/last/inner", 2)
        both = reader.read("v,w", 0)
        layout = reader.layout("v", 1)
        before = reader.bytes_read
        part = reader.read("v", 1, ((0, 3), (1, 2), (2, 3)))
        assert reader.bytes_read - before == 2 * (2 * 4 * (3 + 1))  # the last chunk along x has one value
        with pytest.raises(errors.TimeNotChosen):
            reader.read("v")
    np.testing.assert_array_equal(volume.values[..., 0], expected[1])
    np.testing.assert_array_equal(inner.values[..., 0], expected[2])
    np.testing.assert_array_equal(part.values[..., 0], expected[1, 2:4, 1:3, 0:4])
    assert (volume.units, volume.domain.time, volume.domain.bounds[:2]) == (("K",), 6.0, (0.0, 6.0))
    assert both.components == 2
    assert (layout.chunks, layout.first_chunk, layout.itemsize) == ((3, 4, 2), (1, 4, 2), 2)


def test_damaged_zarr(zarr_folder):
    path, _ = zarr_folder
    for file in path.joinpath("v").rglob("*"):
        if file.is_file() and not file.name.startswith((".z", "zarr")):
            file.write_bytes(file.read_bytes()[:7])
    with open_volume(path) as reader, pytest.raises(errors.VolumeFileDamaged):
        reader.read("v", 1)
    for name in ("zarr.json", ".zgroup"):
        if (path / name).exists():
            (path / name).write_text("{")
    with pytest.raises(errors.VolumeFileDamaged):
        open_volume(path)


# ---- GRIB


@pytest.fixture
def grib_file(tmp_path):
    """Two variables at two times on three levels of pressure; one value is missing."""
    eccodes = pytest.importorskip("eccodes", reason="pip install xarray cfgrib eccodes")
    pytest.importorskip("cfgrib", reason="pip install xarray cfgrib eccodes")
    path = tmp_path / "v.grib2"
    keys = {
        "Ni": 8,
        "Nj": 6,
        "latitudeOfFirstGridPointInDegrees": 50,
        "latitudeOfLastGridPointInDegrees": 40,
        "longitudeOfFirstGridPointInDegrees": 0,
        "longitudeOfLastGridPointInDegrees": 14,
        "iDirectionIncrementInDegrees": 2,
        "jDirectionIncrementInDegrees": 2,
        "dataDate": 20240101,
        "bitsPerValue": 24,
        "bitmapPresent": 1,
    }
    with path.open("wb") as stream:
        for hour in (0, 6):
            for level in (1000, 850, 500):
                for name in ("t", "u"):
                    message = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
                    about = {**keys, "level": level, "shortName": name, "dataTime": hour * 100}
                    for key, value in about.items():
                        eccodes.codes_set(message, key, value)
                    field = np.arange(48.0) + level + hour
                    if level == 500:
                        field[5] = eccodes.codes_get(message, "missingValue")
                    eccodes.codes_set_values(message, field)
                    eccodes.codes_write(message, stream)
                    eccodes.codes_release(message)
    return path


def test_grib(grib_file):
    before = sorted(grib_file.parent.iterdir())
    with open_volume(grib_file) as reader:
        assert [(i.name, i.shape, i.steps) for i in reader.variables()] == [("t", (3, 6, 8), 2), ("u", (3, 6, 8), 2)]
        volume = reader.read("t", 1)
        part = reader.read("t,u", 1, ((2, 7), (0, 3), (1, 2)))
        layout = reader.layout("t")
    field = (np.arange(48.0) + 6).reshape(6, 8)[::-1]  # latitudes descend in the file
    expected = np.stack([field + level for level in (500, 850, 1000)])
    expected[0, 5, 5] = np.nan
    np.testing.assert_allclose(volume.values[..., 0], expected, atol=1e-3)
    np.testing.assert_array_equal(part.values[..., 0], volume.values[1:3, 0:4, 2:8, 0])
    assert part.components == 2
    np.testing.assert_array_equal(volume.domain.axes[2].nodes(), [500, 850, 1000])
    assert volume.domain.units == ("degrees_east", "degrees_north", "hPa")
    assert volume.domain.time_units.startswith("seconds since")
    assert layout.times[1] - layout.times[0] == 6 * 3600
    assert volume.units == ("K",)
    assert sorted(grib_file.parent.iterdir()) == before


def test_truncated_grib(grib_file, capfd):
    content = grib_file.read_bytes()
    for size in (6, 100):
        grib_file.write_bytes(content[:size])
        with pytest.raises(errors.VolumeFileDamaged) as caught:
            open_volume(grib_file)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


# ---- parts, in every format


@given(region=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(3, 4)) for _ in range(3)]))
def test_a_part_of_a_raw_file_is_a_slice(tmp_path_factory, region):
    path = tmp_path_factory.getbasetemp() / "part_7x6x5_float32.raw"
    if not path.exists():
        values().tofile(path)
    with open_volume(path) as reader:
        np.testing.assert_array_equal(reader.read(region=region).values[..., 0], values()[slices(region)])


# ---- on the command line


@pytest.mark.slow
def test_a_raw_file_is_learned_and_compared(tmp_path, trainer, smooth_volume):
    import json

    path = tmp_path / "head.bin"
    path.write_bytes(bytes(16) + smooth_volume((12, 14, 16)).astype(">f4").tobytes())
    options = ["--shape", "16,14,12", "--dtype", "float32", "--byte-order", "big", "--header-bytes", 16]
    options += ["--spacing", "0.5,1,2", "--origin=-1,0,3"]
    model = tmp_path / "head.amgsrn"
    done = trainer("fit", path, "-o", model, "--steps", 60, "--batch", 500, "--json", *options)
    assert done.returncode == 0, done.stderr
    fitted = json.loads(done.stdout)
    done = trainer("evaluate", model, path, "--json", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["psnr_db"] == pytest.approx(fitted["psnr_db"], abs=0.1)
    # Bricks are read by other processes.
    bricks = ["--bricks", "2,1,1", "--ghost", 1, "--workers", 1, "--only-bricks", "1"]
    done = trainer("fit", path, "-o", tmp_path / "b.amgsrn", "--steps", 60, "--batch", 500, *bricks, "--json", *options)
    assert done.returncode == 0, done.stderr
    done = trainer("fit", path, "-o", tmp_path / "other.amgsrn", *options, "--dtype", "float33")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--dtype float33 is not known" in done.stderr
