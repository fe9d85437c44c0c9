# SPDX-License-Identifier: BSD-3-Clause
"""Volumes learned brick by brick, by real processes that are really killed."""

from __future__ import annotations

import json
import signal

import pytest
from brick_runs import BRICKS, SETTINGS, header_of, same, tensors_of, wait_for, workers_of, write_volume

from trainer.parts import parts_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    return write_volume(tmp_path_factory.mktemp("ensemble") / "volume.nc")


@pytest.fixture(scope="module")
def undisturbed(volume, trainer):
    """A model, and what was printed and logged about it."""
    output, log = volume.with_name("undisturbed.amgsrn"), volume.with_name("log.jsonl")
    done = trainer("fit", volume, "-o", output, *SETTINGS, "--json", "--log", log)
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout), [json.loads(line) for line in log.read_text().splitlines()]


def test_an_ensemble_says_all_about_itself(volume, undisturbed):
    output, result, log = undisturbed
    header = header_of(output)
    node = header["architecture"]
    assert (node["type"], node["bricks"], node["overlap"]) == ("ensemble", [2, 2, 1], [1.0, 1.0, 0.0])
    assert [member["type"] for member in node["members"]] == ["amgsrn", "amgsrn", "amgsrn", "constant"]
    assert node["members"][3]["values"] == [0.25]
    assert not [name for name in tensors_of(output) if name.startswith("brick3.")]
    assert header["array"]["units"] == "kg m-3"
    assert node["members"][0]["training"]["psnr_db"] > 15
    assert result["psnr_db"] > 15
    assert result["bricks_done"] == 4
    assert result["constant_bricks"] == 1
    # Every chunk of 8^3 nodes once, and those at the volume's faces as a whole.
    assert result["bytes_read"] <= 1.3 * result["bytes_needed"]
    assert result["peak_memory_bytes"] > 200 << 20
    kinds = [entry["event"] for entry in log]
    assert (kinds[0], kinds.count("started"), kinds.count("done"), kinds[-2:]) == (
        "begun",
        4,
        4,
        ["assembled", "ended"],
    )
    assert not parts_folder(output).exists()


def test_it_is_the_same_whoever_does_it_and_whoever_is_killed(tmp_path, volume, undisturbed, trainer, start_trainer):
    """Workers killed, the run killed and interrupted: in the end, the same bits."""
    output = tmp_path / "m.amgsrn"
    parts, command = parts_folder(output), ("fit", volume, "-o", output, *SETTINGS)

    process = start_trainer(*command)
    wait_for(lambda: workers_of(process.pid), process)[0].kill()
    wait_for(lambda: list(parts.glob("brick-*.json")), process)
    process.kill()
    process.communicate()
    finished = sorted(path.name for path in parts.glob("brick-*.json"))
    assert finished
    assert not output.exists()

    process = start_trainer(*command)
    wait_for(lambda: workers_of(process.pid), process)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert "run the same command again to go on" in messages.strip().splitlines()[-1]
    assert set(finished) <= {path.name for path in parts.glob("brick-*.json")}

    done = trainer(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert "bricks done" in done.stderr
    assert same(output, undisturbed[0])
    assert json.loads(done.stdout)["psnr_db"] == undisturbed[1]["psnr_db"]
    assert [path.name for path in tmp_path.iterdir()] == ["m.amgsrn"]


def test_orphaned_workers_end_themselves(tmp_path, volume, start_trainer):
    process = start_trainer(
        "fit", volume, "-o", tmp_path / "m.amgsrn", "--bricks", "2,2,1", "--workers", 1, "--steps", 10**6
    )
    workers = wait_for(lambda: workers_of(process.pid), process)
    wait_for(lambda: list(parts_folder(tmp_path / "m.amgsrn").glob("halo-*")), process)
    process.kill()
    process.communicate()
    assert not [w for w in workers if w.is_running() and w.status() != "zombie" and _still_there(w)]


def _still_there(worker):
    import psutil

    try:
        worker.wait(60)
    except psutil.TimeoutExpired:
        return True
    return False


def test_a_brick_that_kills_every_worker_ends_the_run(tmp_path, volume, start_trainer):
    output = tmp_path / "m.amgsrn"
    process = start_trainer("fit", volume, "-o", output, "--bricks", "2,2,1", "--workers", 1, "--steps", 10**6)
    for _ in range(3):
        worker = wait_for(lambda: workers_of(process.pid), process)[0]
        worker.kill()
        wait_for(lambda worker=worker: worker not in workers_of(process.pid) or process.poll() is not None, process)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" not in messages
    assert "brick 0 was given up: 3 processes in a row died learning it (killed by signal 9)" in messages


def test_some_bricks_only_and_then_the_rest(tmp_path, volume, undisturbed, trainer):
    output = tmp_path / "m.amgsrn"
    done = trainer("fit", volume, "-o", output, *SETTINGS, "--only-bricks", "0,3", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["bricks_done"], result["constant_bricks"]) == (2, 1)
    assert result["psnr_db"] > 15
    assert not output.exists()
    assert sorted(path.name for path in parts_folder(output).glob("brick-*.json")) == [
        "brick-00000.json",
        "brick-00003.json",
    ]

    other = trainer("fit", volume, "-o", output, *SETTINGS, "--seed", 5)
    assert other.returncode == 2
    assert "is the checkpoint of another fit (seed 0, not 5)" in other.stderr

    assert trainer("fit", volume, "-o", output, *SETTINGS).returncode == 0
    assert same(output, undisturbed[0])
    again = trainer("fit", volume, "-o", output, *SETTINGS)
    assert again.returncode == 0
    assert "is finished already" in again.stderr


def test_two_runs_do_not_meet(tmp_path, volume, trainer, start_trainer):
    output = tmp_path / "m.amgsrn"
    command = ("fit", volume, "-o", output, "--bricks", BRICKS, "--workers", 1, "--steps", 10**6)
    process = start_trainer(*command)
    wait_for(lambda: (parts_folder(output) / "identity.json").exists(), process)
    second = trainer(*command)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert second.returncode == 2
    assert f"another run (process {process.pid} on " in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bricks", "2,2"), "--bricks 2,2 makes no sense"),
        (("--bricks", "40,1,1"), "the volume has 40 nodes along x"),
        (("--bricks", "2,1,1", "--ghost", "-1"), "--ghost -1 makes no sense"),
        (("--workers", "0"), "--workers 0 makes no sense"),
        (("--bricks", "2,1,1", "--max-memory", "100M"), "--max-memory 100000000 is too small"),
        (("--bricks", "2,1,1", "--only-bricks", "2"), "there are bricks 0 to 1"),
        (("--scheduler", "tcp://127.0.0.1:1"), "there is no Dask scheduler at"),
        (("--bricks", "2,1,1", "--log", "/nowhere/log"), "cannot write '/nowhere/log'"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(tmp_path, volume, trainer, options, message):
    if "--scheduler" in options:
        pytest.importorskip("distributed", reason="Dask is not installed")
    done = trainer("fit", volume, "-o", tmp_path / "m.amgsrn", *options)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_model_is_the_volume(tmp_path, volume, undisturbed):
    """What is reported, put together from bricks, is what the model gives; and neighbours meet without a seam."""
    import netCDF4
    import numpy as np

    from amgsrn_core import open_field
    from amgsrn_core.grid import native_nodes, sample_nodes

    output, result, _ = undisturbed
    field = open_field(output, "cpu")
    with netCDF4.Dataset(str(volume)) as file:
        truth = np.asarray(file["density"][:], dtype=np.float64)
    found = sample_nodes(field, *native_nodes(field))[..., 0]
    psnr = 20 * np.log10(np.ptp(truth)) - 10 * np.log10(np.mean((found - truth) ** 2))
    # Where bricks are blended the errors of two networks partly cancel out.
    assert psnr == pytest.approx(result["psnr_db"], abs=0.5)
    x = np.linspace(-1, 1, 2001)
    line = sample_nodes(field, x, np.array([-0.5]), np.array([0.1]))[0, 0, :, 0]
    assert np.abs(np.diff(line)).max() < 0.1


def test_a_target_is_that_of_the_whole_range(tmp_path, volume, trainer):
    output = tmp_path / "m.amgsrn"
    done = trainer("fit", volume, "-o", output, "--bricks", "2,2,1", "--target-psnr", 28, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["target_reached"]
    assert result["psnr_db"] >= 28
    psnrs = [member["training"]["psnr_db"] for member in header_of(output)["architecture"]["members"][:3]]
    assert min(psnrs) >= 28
    # Looked through once before, without layers kept.
    assert result["bytes_read"] >= 2 * result["bytes_needed"] * 0.8


def test_a_volume_of_nothing_but_missing_values_is_refused(tmp_path, write_netcdf, trainer):
    import numpy as np

    empty = write_netcdf(tmp_path / "empty.nc", {"density": np.full((20, 30, 40), np.nan, dtype=np.float32)})
    done = trainer("fit", empty, "-o", tmp_path / "m.amgsrn", "--bricks", "2,1,1", "--steps", 20)
    assert done.returncode == 2
    assert "has no valid value" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty.nc"]


def test_gaps_and_components(tmp_path, write_netcdf, trainer):
    """A brick without any value gets no network, and gaps stay where they were."""
    import numpy as np

    from amgsrn_core import open_field
    from amgsrn_core.grid import native_nodes, sample_nodes

    z, y, x = np.meshgrid(*(np.linspace(0, 1, n, dtype=np.float32) for n in (20, 30, 40)), indexing="ij")
    u, v = np.sin(5 * x + y), np.cos(4 * y * z)
    u[:, :, :24] = np.nan
    v[5:9, 3:12, 30:] = np.nan
    file = write_netcdf(tmp_path / "gaps.nc", {"u": u, "v": v}, chunksizes=(8, 8, 8))
    output = tmp_path / "m.amgsrn"
    done = trainer("fit", file, "--variable", "u,v", "-o", output, "--bricks", "2,1,1", "--steps", 60, "--json")
    assert done.returncode == 0, done.stderr
    result, members = json.loads(done.stdout), header_of(output)["architecture"]["members"]
    assert [component["name"] for component in result["components"]] == ["u", "v"]
    assert (members[0]["type"], members[0]["values"]) == ("constant", None)
    assert members[1]["mask"]["codec"] == "bits+zlib"
    field = open_field(output, "cpu")
    found = sample_nodes(field, *native_nodes(field))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(u + v)[..., None].repeat(2, axis=3))
