# SPDX-License-Identifier: BSD-3-Clause
"""What users get wrong, as real runs: exit code 2, one clear line on stderr, nothing on stdout, nothing lost or
left behind."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch


@pytest.fixture
def refused(trainer, tmp_path):
    """Run a command that has to be refused; its one line."""

    def check(*arguments):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        done = trainer(*arguments)
        assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
        assert done.stdout == ""
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("error: ")
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return lines[0]

    return check


@pytest.fixture(scope="module")
def model(tmp_path_factory, trainer, write_netcdf):
    """A model file that was really fitted."""
    folder = tmp_path_factory.mktemp("model")
    volume = write_netcdf(folder / "volume.nc")
    done = trainer("fit", volume, "-o", folder / "m.amgsrn", "--steps", 50, "--batch", 200)
    assert done.returncode == 0, done.stderr
    return folder / "m.amgsrn"


def test_input_that_is_not_there(tmp_path, refused):
    assert "no such file" in refused("fit", tmp_path / "nothing.nc", "-o", tmp_path / "m.amgsrn")


def test_input_that_is_a_folder(tmp_path, refused):
    assert "a folder, and not one of Zarr" in refused("fit", tmp_path, "-o", tmp_path / "m.amgsrn")


def test_input_that_is_something_else(tmp_path, refused):
    (tmp_path / "v.nc").write_text("x,y,z\n1,2,3\n")
    assert "is not a volume of a known format" in refused("fit", tmp_path / "v.nc", "-o", tmp_path / "m.amgsrn")


def test_empty_input(tmp_path, refused):
    (tmp_path / "v.nc").touch()
    assert "empty" in refused("fit", tmp_path / "v.nc", "-o", tmp_path / "m.amgsrn")


@pytest.mark.parametrize("file_format", ["NETCDF4", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("part", [0.02, 0.6])
def test_truncated_input(tmp_path, refused, write_netcdf, file_format, part):
    path = write_netcdf(
        tmp_path / "v.nc", {"v": np.random.default_rng(0).random((40, 40, 40))}, file_format=file_format
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert "damaged or truncated" in refused("fit", path, "-o", tmp_path / "m.amgsrn")


def test_no_such_variable(tmp_path, refused, volume_file):
    line = refused("fit", volume_file, "-o", tmp_path / "m.amgsrn", "--variable", "densty")
    assert "no variable 'densty'" in line
    assert "density" in line


def test_several_variables(tmp_path, refused, write_netcdf, smooth_volume):
    path = write_netcdf(tmp_path / "v.nc", {"rho": smooth_volume(), "speed": smooth_volume()})
    line = refused("fit", path, "-o", tmp_path / "m.amgsrn")
    assert "--variable" in line
    assert "rho, speed" in line


def test_a_map_is_no_volume(tmp_path, refused, write_netcdf):
    path = write_netcdf(tmp_path / "v.nc", {"map": np.zeros((3, 4), np.float32)}, ("y", "x"))
    assert "three spatial dimensions" in refused("fit", path, "-o", tmp_path / "m.amgsrn")


def test_time_left_out_and_out_of_range(tmp_path, refused, write_netcdf, smooth_volume):
    path = write_netcdf(tmp_path / "v.nc", {"v": np.stack([smooth_volume()] * 3)}, ("time", "z", "y", "x"))
    assert "3 time steps" in refused("fit", path, "-o", tmp_path / "m.amgsrn")
    assert "--time 3" in refused("fit", path, "-o", tmp_path / "m.amgsrn", "--time", 3)


def test_nothing_but_missing_values(tmp_path, refused, write_netcdf):
    path = write_netcdf(tmp_path / "v.nc", {"v": np.full((4, 4, 4), np.nan, np.float32)})
    assert "no valid value" in refused("fit", path, "-o", tmp_path / "m.amgsrn")


def test_output_folder_that_is_not_there(tmp_path, refused, volume_file):
    assert "there is no folder" in refused("fit", volume_file, "-o", tmp_path / "no" / "m.amgsrn")


def test_output_folder_that_cannot_be_written(refused, volume_file):
    assert "cannot write '/proc/m.amgsrn'" in refused("fit", volume_file, "-o", "/proc/m.amgsrn")


def test_output_that_is_a_folder(tmp_path, refused, volume_file):
    assert "it is a folder" in refused("fit", volume_file, "-o", tmp_path)


def test_output_that_is_the_input(refused, volume_file):
    assert "is the volume itself" in refused("fit", volume_file, "-o", volume_file, "--overwrite")


def test_existing_output_of_another_fit(tmp_path, refused, volume_file, model):
    (tmp_path / "m.amgsrn").write_bytes(model.read_bytes())
    line = refused("fit", volume_file, "-o", tmp_path / "m.amgsrn", "--steps", 51, "--batch", 200)
    assert "steps 50, not 51" in line
    assert "--overwrite" in line


def test_devices_that_are_not_there(tmp_path, refused, volume_file):
    line = refused("fit", volume_file, "-o", tmp_path / "m.amgsrn", "--device", "cuda:7")
    assert "choose one of: auto, cpu" in line


@pytest.mark.parametrize("wrong", [("--steps", 0), ("--batch", 0), ("--seed", -1), ("--checkpoint-interval", "nan")])
def test_numbers_that_make_no_sense(tmp_path, refused, volume_file, wrong):
    assert wrong[0] in refused("fit", volume_file, "-o", tmp_path / "m.amgsrn", *wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fti", "a"),
        (),
        ("fit", "a.nc"),
        ("fit", "a.nc", "-o", "b", "--stpes", "3"),
        ("render", "a", "b.png", "--size", "1"),
    ],
)
def test_typing_errors(trainer, arguments):
    done = trainer(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error: " in done.stderr.strip().splitlines()[-1]


MODEL_COMMANDS = ("info", "evaluate", "export", "render")


def command(name, model, tmp_path, volume_file):
    return {
        "info": ("info", model),
        "evaluate": ("evaluate", model, volume_file),
        "export": ("export", model, tmp_path / "out.nc"),
        "render": ("render", model, tmp_path / "out.png"),
    }[name]


@pytest.mark.parametrize("name", MODEL_COMMANDS)
def test_models_that_are_not_there(tmp_path, refused, volume_file, name):
    assert "no such file" in refused(*command(name, tmp_path / "no.amgsrn", tmp_path, volume_file))


def test_damaged_models(tmp_path, refused, volume_file, model):
    path = tmp_path / "m.amgsrn"
    path.write_bytes(model.read_bytes()[:-1000])
    assert "truncated" in refused(*command("evaluate", path, tmp_path, volume_file))
    path.write_bytes(b"PK\x03\x04 something else entirely")
    assert "is not an .amgsrn model" in refused(*command("info", path, tmp_path, volume_file))
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(3)}, {"amgsrn": '{"format_version": 99}'}))
    assert "format version 99" in refused(*command("export", path, tmp_path, volume_file))


def test_a_volume_of_another_shape(tmp_path, refused, write_netcdf, smooth_volume, model):
    other = write_netcdf(tmp_path / "o.nc", {"density": smooth_volume((5, 6, 7))})
    assert "16 x" not in (line := refused("evaluate", model, other))
    assert "12 x 14 x 16 values" in line


def test_evaluate_without_the_models_variable(tmp_path, refused, write_netcdf, smooth_volume, model):
    other = write_netcdf(tmp_path / "o.nc", {"rho": smooth_volume()})
    assert "no variable 'density'; choose one of: rho" in refused("evaluate", model, other)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("out.txt",), "should end in .nc"),
        (("out.nc", "--roi", "0,99,0,1,0,1"), "--roi x 0 to 99"),
        (("out.nc", "--roi", "3,3,0,1,0,1"), "--roi x 3 to 3"),
        (("out.vti", "--shape", "1,9,9"), "--shape has 1 along x"),
        (("no/out.nc",), "there is no folder"),
    ],
)
def test_exports_that_cannot_be(tmp_path, refused, model, arguments, says):
    assert says in refused("export", model, tmp_path / arguments[0], *arguments[1:])


def test_exports_do_not_overwrite(tmp_path, refused, model):
    (tmp_path / "out.nc").write_text("mine")
    assert "--overwrite" in refused("export", model, tmp_path / "out.nc")


def test_transfer_functions_that_are_none(tmp_path, refused, model):
    (tmp_path / "tf.json").write_text("{}")
    assert "not a colour map" in refused(
        "render", model, tmp_path / "o.png", "--transfer-function", tmp_path / "tf.json"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--time-budget", "soon"), "--time-budget 'soon' is not a duration above 0; write 90, 30s, 2m or 1.5h"),
        (("--time-budget", "0"), "--time-budget '0'"),
        (("--target-size", "small"), "--target-size 'small' is not a number of bytes"),
        (("--target-size", "1k"), "--target-size 1000 is too small: the least for this volume is"),
        (("--target-size", "1M", "--preset", "small"), "give one of them"),
        (("--name", " "), "--name is empty"),
        (("--target-psnr", "nan"), "--target-psnr nan makes no sense"),
        (("--target-psnr", "40", "--recipe", "paper"), "--target-psnr goes with --recipe fast"),
    ],
)
def test_options_of_fit_that_make_no_sense(tmp_path, refused, volume_file, arguments, says):
    assert says in refused("fit", volume_file, "-o", tmp_path / "m.amgsrn", *arguments)
