# SPDX-License-Identifier: BSD-3-Clause
"""Bricks learned by a Dask cluster, on this machine's loopback: the same bits, also when a worker is killed."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from pathlib import Path

import pytest
from brick_runs import SETTINGS, same, wait_for, write_volume

pytest.importorskip("distributed", reason="Dask is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BRICKS = [SETTINGS[0], SETTINGS[1], "--ghost", 1, "--steps", 60, "--batch", 2000]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler file, and three workers as processes."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = (
        [sys.executable, "-m", "distributed.cli.dask_scheduler"],
        [sys.executable, "-m", "distributed.cli.dask_worker"],
    )
    file = folder / "scheduler.json"
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": folder}
    local = ["--host", "127.0.0.1"]
    workers: list[subprocess.Popen] = []
    scheduler = subprocess.Popen(
        [*run[0], "--scheduler-file", str(file), "--port", "0", "--no-dashboard", *local], **options
    )
    try:
        wait_for(file.exists, scheduler)
        worker = [*run[1], "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard", *local]
        workers += [subprocess.Popen([*worker, "--name", f"w{k}"], **options) for k in range(3)]
        yield file, workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    return write_volume(tmp_path_factory.mktemp("volume") / "volume.nc")


def test_a_lost_worker_costs_nothing_but_time(tmp_path, volume, cluster, trainer, start_trainer):
    file, workers = cluster
    here, there, log = tmp_path / "here.amgsrn", tmp_path / "there.amgsrn", tmp_path / "log.jsonl"
    process = start_trainer("fit", volume, "-o", there, *BRICKS, "--scheduler", file, "--log", log, "--json")

    def started():
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [entry["worker"] for entry in events if entry["event"] == "started"]

    busy = wait_for(started, process)[0]
    port = int(busy.rsplit(":", 1)[1])
    victim = next(worker for worker in workers if port in ports_of(worker.pid))
    victim.kill()
    output, messages = process.communicate(timeout=300)
    assert process.returncode == 0, messages
    assert len(started()) > 4, "the brick of the lost worker was begun again"

    done = trainer("fit", volume, "-o", here, *BRICKS, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert same(here, there)
    assert json.loads(output)["bricks_done"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.amgsrn", "log.jsonl", "there.amgsrn"]


def test_workers_that_cannot_read_the_volume_are_named(tmp_path, volume, cluster):
    from trainer.ensemble.cluster import ClusterRunner
    from trainer.ensemble.task import BrickTask
    from trainer.errors import InputNotShared

    file, _ = cluster
    missing = BrickTask(0, str(tmp_path / "elsewhere.nc"), ("density",), None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(InputNotShared, match=r"worker tcp://127\.0\.0\.1:\d+ cannot learn .* no such file"):
        ClusterRunner(str(file), missing, "", gpu=False)
    other = BrickTask(0, str(volume), ("density",), None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(InputNotShared, match="is another volume there"):
        ClusterRunner(str(file), other, "something else", gpu=False)


def ports_of(process):
    import psutil

    return {connection.laddr.port for connection in psutil.Process(process).net_connections() if connection.laddr}


class Client:
    """A client of a scheduler, as far as futures that end need one."""

    status = "running"


class Future:
    def __init__(self, status, error=None):
        self.status, self._error = status, error

    def result(self):
        raise self._error

    def exception(self):
        return self._error


@pytest.fixture
def runner():
    """One that is not connected."""
    from trainer.ensemble.cluster import ClusterRunner

    made = ClusterRunner.__new__(ClusterRunner)
    made._client, made._scheduler, made._running, made._events = Client(), "tcp://there", {}, queue.SimpleQueue()
    return made


@pytest.mark.parametrize(
    ("status", "kind"), [("cancelled", "lost"), ("finished", "failed"), ("error", "failed"), ("lost", "failed")]
)
def test_a_brick_that_ends_in_whatever_way_is_told_of(runner, status, kind):
    future = Future(status, RuntimeError("gone"))
    runner._running[future] = 7
    runner._ended(future)
    (event,) = runner.wait(1.0)
    assert (event.kind, event.brick) == (kind, 7)
    assert not runner._running


def test_a_scheduler_that_has_gone_ends_the_run(runner):
    from trainer.errors import ResourceLost

    future = Future("cancelled")
    runner._running[future] = 7
    runner._client.status = "connecting"
    runner._ended(future)
    assert runner.free() == 0
    with pytest.raises(ResourceLost, match="the Dask scheduler 'tcp://there' has gone"):
        runner.wait(1.0)


def test_no_dask_is_needed_unless_asked_for():
    script = "import sys, trainer.ensemble.fit, trainer.ensemble.plan; print('dask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
