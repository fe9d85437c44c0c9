# SPDX-License-Identifier: BSD-3-Clause
"""pvpython as a client of a pvserver, both with the plugin."""

from __future__ import annotations

import pytest
from harness import psnr

pytestmark = pytest.mark.slow


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
        assert psnr(paraview.picture(f"remote{name}"), paraview.picture(f"local{name}")) > 40.0  # what a server sends is compressed
