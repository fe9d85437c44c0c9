# SPDX-License-Identifier: BSD-3-Clause
"""Several processes: pvpython as a client of a pvserver, and pvbatch on two MPI ranks, all with the plugin."""

from __future__ import annotations

import shutil

import pytest
from harness import psnr

pytestmark = pytest.mark.slow

MPIRUN = ("mpirun", "--allow-run-as-root", "--oversubscribe")


def test_a_server_draws_the_same_picture(paraview, model):
    local = paraview.pvpython("client", model())
    assert local.results.get("alive") == 64 * 56 * 48, local.output
    with paraview.pvserver() as port:
        remote = paraview.pvpython("client", model(), port)
    log = paraview.server_log()
    assert remote.results.get("alive") == 64 * 56 * 48, remote.output + log
    assert remote.results["remote"]
    assert remote.results["range"] == [-2.0, 6.0]
    # Nothing but the file that is not there goes wrong, and the server says so in one line.
    errors = [line for line in (remote.output + log).splitlines() if "ERROR" in line or "Traceback" in line]
    assert errors, log
    assert all("missing.amgsrn" in line for line in errors), remote.output + log
    for name in ("", "_moved"):
        assert (
            psnr(paraview.picture(f"remote{name}"), paraview.picture(f"local{name}")) > 40.0
        )  # what a server sends is compressed


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_two_ranks_draw_the_same_picture(paraview, model):
    assert paraview.pvpython("ranks", model(), "one").results == {"ranks": 1}
    run = paraview.pvpython("ranks", model(), "two", program=[*MPIRUN, "-np", "2", "pvbatch"])
    assert run.results == {"ranks": 2}, run.output
    assert not run.errors(), run.output
    assert psnr(paraview.picture("one"), paraview.picture("two")) > 45.0
