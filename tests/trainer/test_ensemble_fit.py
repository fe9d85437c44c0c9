# SPDX-License-Identifier: BSD-3-Clause
"""Volumes learned brick by brick, by real processes that are really killed."""

from __future__ import annotations

import json
import signal

import pytest
from brick_runs import BRICKS, SETTINGS, header_of, same, tensors_of, wait_for, workers_of, write_volume

from trainer.ensemble.parts import parts_folder

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
    _, messages = process.communicate(timeout=120)
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
        worker.wait(10)
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
    _, messages = process.communicate(timeout=60)
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
    process.communicate(timeout=120)
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
