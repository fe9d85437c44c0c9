# SPDX-License-Identifier: BSD-3-Clause
"""What the commands give when nothing is wrong: files, JSON, tables."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import netCDF4
import numpy as np
import pytest
from PIL import Image

from amgsrn_core import open_field
from amgsrn_core.grid import sample_nodes

KEYS = {
    "psnr_db",
    "ssim",
    "rmse",
    "max_abs_error",
    "bytes",
    "compression_ratio",
    "seconds",
    "cpu_seconds",
    "points_per_second",
    "parameters",
}
Z = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 9.0, 10.0, 11.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_netcdf, smooth_volume):
    """A folder with a volume of two time steps on a rectilinear grid, and a model of the second."""
    folder = tmp_path_factory.mktemp("commands")
    values = np.stack([smooth_volume((8, 9, 10)), smooth_volume((8, 9, 10)) ** 2])
    write_netcdf(
        folder / "v.nc",
        {"speed": values, "other": values},
        ("time", "z", "y", "x"),
        coordinates={"time": np.array([0.0, 6.0]), "z": Z, "x": np.linspace(-1, 1, 10)},
        attributes={
            "time": {"units": "hours since 2001-01-01"},
            "speed": {"units": "m s-1"},
            "z": {"units": "m"},
        },
    )
    return folder


@pytest.fixture(scope="module")
def fitted(folder, trainer):
    """What fit printed as JSON."""
    done = trainer(
        "fit", "v.nc", "-o", "m.amgsrn", "--variable", "speed", "--time", -1, "--steps", 300, "--json", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def call(folder, fitted, call_in):
    return call_in(folder)


def test_fit_prints_json(folder, fitted):
    assert fitted.keys() >= KEYS
    assert fitted["psnr_db"] > 30
    assert fitted["bytes"] == (folder / "m.amgsrn").stat().st_size
    assert fitted["compression_ratio"] == pytest.approx(4 * 8 * 9 * 10 / fitted["bytes"], abs=1e-3)
    assert fitted["parameters"] == 70880  # 16 x (16^3 nodes + 10 of the placement) and the MLP


def test_fitting_again_says_that_it_is_done(folder, fitted, trainer):
    done = trainer("fit", "v.nc", "-o", "m.amgsrn", "--variable", "speed", "--time", 1, "--steps", 300, cwd=folder)
    assert done.returncode == 0
    assert "finished already" in done.stderr
    assert f"{fitted['psnr_db']:.2f} dB" in done.stdout


def test_evaluate_finds_variable_and_time_by_itself(call, fitted):
    result = json.loads(call("evaluate", "m.amgsrn", "v.nc", "--json"))
    assert result.keys() >= KEYS
    assert (result["variable"], result["time_index"]) == ("speed", 1)
    for key in ("psnr_db", "ssim", "rmse", "max_abs_error"):
        assert result[key] == pytest.approx(fitted[key], rel=1e-6)
    other = json.loads(call("evaluate", "m.amgsrn", "v.nc", "--time", 0, "--json"))
    assert other["psnr_db"] < result["psnr_db"] - 5
    assert "PSNR" in call("evaluate", "m.amgsrn", "v.nc")


def test_evaluate_agrees_with_numpy(call, folder):
    field = open_field(folder / "m.amgsrn", "cpu")
    axes = [np.linspace(-1, 1, n) for n in field.domain.dimensions]
    found = sample_nodes(field, *axes)[..., 0].astype(np.float64)
    with netCDF4.Dataset(folder / "v.nc") as file:
        truth = np.asarray(file["speed"][1], np.float64)
    expected = 20 * np.log10(np.ptp(truth)) - 10 * np.log10(np.mean((found - truth) ** 2))
    assert json.loads(call("evaluate", "m.amgsrn", "v.nc", "--json"))["psnr_db"] == pytest.approx(expected, abs=0.01)


def test_info(call):
    result = json.loads(call("info", "m.amgsrn", "--json"))
    assert result.keys() >= KEYS
    assert result["array"]["name"] == "speed"
    assert result["dimensions"] == [10, 9, 8]
    assert result["domain"]["time"] == 6.0
    text = call("info", "m.amgsrn")
    for word in ("speed", "m s-1", "10 x 9 x 8", "rectilinear", "6 hours since 2001-01-01", "fast", "v.nc"):
        assert word in text


def test_system(call):
    result = json.loads(call("info", "--system", "--json"))
    assert "cpu" in result["devices"]
    for device in ("cpu", "cuda"):
        assert result[f"{device}_kernels"] in ("reference", "cpu", "triton")
        assert result[f"{device}_kernels_reason"]
    assert "torch" in call("info", "--system")


def test_export_to_netcdf(call, folder):
    result = json.loads(call("export", "m.amgsrn", "all.nc", "--json"))
    assert result["shape"] == [8, 9, 10]
    field = open_field(folder / "m.amgsrn", "cpu")
    axes = [np.linspace(-1, 1, n) for n in field.domain.dimensions]
    with netCDF4.Dataset(folder / "all.nc") as file:
        np.testing.assert_allclose(file["speed"][:], sample_nodes(field, *axes)[..., 0], atol=1e-6)
        np.testing.assert_allclose(file["z"][:], Z)
        assert (file["speed"].units, file["z"].units) == ("m s-1", "m")
        assert (float(file["time"][...]), file["time"].units) == (6.0, "hours since 2001-01-01")


def test_an_export_can_be_fitted_again(call):
    call("export", "m.amgsrn", "again.nc", "--overwrite")
    call("fit", "again.nc", "-o", "again.amgsrn", "--steps", 20, "--batch", 100)


def test_export_of_a_region(call, folder):
    call("export", "m.amgsrn", "all.nc", "--overwrite")
    call("export", "m.amgsrn", "part.nc", "--roi", "2,6,0,8,3,4")
    with netCDF4.Dataset(folder / "all.nc") as everything, netCDF4.Dataset(folder / "part.nc") as part:
        np.testing.assert_allclose(part["speed"][:], everything["speed"][3:5, 0:9, 2:7], atol=1e-6)
        np.testing.assert_allclose(part["z"][:], Z[3:5])
        np.testing.assert_allclose(part["x"][:], everything["x"][2:7])


def test_export_to_image_data_is_even_in_the_world(call, folder):
    call("export", "m.amgsrn", "out.vti", "--shape", "5,6,12")
    content = (folder / "out.vti").read_bytes()
    head, data = content.split(b'<AppendedData encoding="raw">\n_')
    image = ET.fromstring(head + b"</VTKFile>").find("ImageData")
    assert image.get("WholeExtent") == "0 4 0 5 0 11"
    assert [float(s) for s in image.get("Spacing").split()] == [0.5, 1.6, 1.0]
    assert image.get("Origin") == "-1.0 0.0 0.0"
    assert int(np.frombuffer(data[:8], np.uint64)[0]) == 4 * 5 * 6 * 12
    values = np.frombuffer(data[8 : 8 + 4 * 5 * 6 * 12], np.float32).reshape(12, 6, 5)
    field = open_field(folder / "m.amgsrn", "cpu")
    # Height 4 is node 3 of 8.
    expected = sample_nodes(field, np.array([-1.0]), np.array([-1.0]), np.array([-1 + 2 * 3 / 7]))
    assert values[4, 0, 0] == pytest.approx(float(expected.squeeze()), abs=1e-5)


def test_render(call, folder):
    call("render", "m.amgsrn", "p.png", "--size", "60,40", "--background", "1,1,1")
    picture = np.asarray(Image.open(folder / "p.png"))
    assert picture.shape == (40, 60, 3)
    assert (picture[0, 0] == 255).all()
    assert len(np.unique(picture[15:25, 25:35].reshape(-1, 3), axis=0)) > 20
    call("render", "m.amgsrn", "q.png", "--size", "60,40", "--camera=-120,60")
    transparent = np.asarray(Image.open(folder / "q.png"))
    assert transparent.shape == (40, 60, 4)
    assert transparent[0, 0, 3] == 0
    assert transparent[20, 30, 3] > 0


def test_render_with_a_colour_map(call, folder):
    points = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    opaque = [0.0, 1.0, 0.5, 0.0, 1.0, 1.0, 0.5, 0.0]
    (folder / "green.json").write_text(json.dumps([{"ColorSpace": "RGB", "RGBPoints": points, "Points": opaque}]))
    call("render", "m.amgsrn", "g.png", "--size", "40,40", "--transfer-function", "green.json", "--background", "0,0,0")
    red, green, blue = np.asarray(Image.open(folder / "g.png"))[20, 20]
    assert (red, blue) == (0, 0)
    assert green > 200


def test_help_is_there_for_every_command(trainer):
    done = trainer("--help")
    assert done.returncode == 0
    for name in ("fit", "evaluate", "info", "export", "render"):
        assert name in done.stdout


def test_a_closed_pipe_is_no_disaster(folder, fitted, trainer):
    from trainer import cli

    root = str(cli.__file__).rsplit("/trainer/", 1)[0]
    command = f"'{sys.executable}' -m trainer info m.amgsrn | true"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr


def test_a_missed_target_is_a_warning_and_not_a_success_claimed(folder, trainer):
    command = ("fit", "v.nc", "-o", "t.amgsrn", "--variable", "speed", "--time", 0, "--steps", 60, "--target-psnr", 99)
    for _ in range(2):
        done = trainer(*command, "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert (result["target_psnr_db"], result["target_reached"]) == (99.0, False)
        warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
        assert len(warnings) == 1
        assert "the target of 99.00 dB was not reached" in warnings[0]


def test_time_size_and_precision_are_reported(call, folder):
    arguments = ("--time-budget", "0.5s", "--target-size", "60k", "--precision", "half")
    shown = call("fit", "v.nc", "-o", "b.amgsrn", "--variable", "speed", "--time", 0, *arguments)
    assert "half" in shown
    assert (folder / "b.amgsrn").stat().st_size <= 60_000
    training = json.loads(call("info", "b.amgsrn", "--json"))["training"]
    assert training["settings"]["time_budget"] == 0.5
    assert training["precision"] == "half"
    assert training["steps"] >= 50
