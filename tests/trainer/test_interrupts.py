# SPDX-License-Identifier: BSD-3-Clause
"""Real processes, really killed: nothing older than the checkpoint interval is lost, and the result is the same to
the bit."""

from __future__ import annotations

import os
import resource
import signal
import time

import pytest
import torch

from amgsrn_core import open_field

SETTINGS = ("--steps", 1500, "--batch", 1000, "--checkpoint-interval", "0.2")


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def state_of(path):
    return open_field(path, "cpu").network.state_dict()


@pytest.fixture
def undisturbed(tmp_path, volume_file, trainer):
    """The model of an undisturbed fit."""
    done = trainer("fit", volume_file, "-o", tmp_path / "undisturbed.amgsrn", *SETTINGS)
    assert done.returncode == 0, done.stderr
    return state_of(tmp_path / "undisturbed.amgsrn")


def test_kill_9_and_ctrl_c_lose_nothing(tmp_path, volume_file, trainer, start_trainer, undisturbed):
    output, checkpoint = tmp_path / "m.amgsrn", tmp_path / "m.amgsrn.checkpoint"
    command = ("fit", volume_file, "-o", output, *SETTINGS)

    process = start_trainer(*command)
    wait_for(checkpoint.exists, process)
    process.kill()
    process.communicate()
    assert checkpoint.exists()
    assert not output.exists()

    for number in (signal.SIGINT, signal.SIGTERM):
        process, stamp = start_trainer(*command), checkpoint.stat().st_mtime_ns
        wait_for(lambda stamp=stamp: checkpoint.stat().st_mtime_ns > stamp, process)
        process.send_signal(number)
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 130
        assert "Traceback" not in messages
        assert "resuming at step" in messages
        last = messages.strip().splitlines()[-1]
        assert last.startswith("interrupted at step")
        assert "run the same command again to resume" in last

    done = trainer(*command)
    assert done.returncode == 0, done.stderr
    assert "resuming at step" in done.stderr
    resumed = state_of(output)
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.amgsrn", "undisturbed.amgsrn", "volume.nc"]


def test_a_full_disk_costs_nothing(tmp_path, volume_file, trainer, start_trainer, undisturbed):
    """No room for the model: one clear line, no litter, the checkpoint is kept, and the fit goes on from it later."""
    output, checkpoint = tmp_path / "m.amgsrn", tmp_path / "m.amgsrn.checkpoint"
    command = ("fit", volume_file, "-o", output, *SETTINGS)
    process = start_trainer(*command)
    wait_for(checkpoint.exists, process)
    process.send_signal(signal.SIGINT)
    process.communicate()
    content = checkpoint.read_bytes()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = trainer(*command, preexec_fn=limit)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    assert "cannot write" in done.stderr.strip().splitlines()[-1]
    assert checkpoint.read_bytes() == content
    assert not output.exists()
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]

    assert trainer(*command).returncode == 0
    resumed = state_of(output)
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)
