"""The example that draws a neural volume with pvpython, from simulation to picture, in small."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PLUGIN_PATH = ROOT / "build" / "plugin-path.txt"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("pvpython") is None, reason="pvpython is not installed"),
    pytest.mark.skipif(not PLUGIN_PATH.exists(), reason="the plugin is not built: run make setup"),
]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_simulation_to_picture(tmp_path):
    plugin = PLUGIN_PATH.read_text(encoding="utf-8").strip()
    run(sys.executable, ROOT / "examples" / "make_volume.py", "--size", "32", "--time", "4", cwd=tmp_path)
    fit = ["-m", "trainer", "fit", tmp_path / "taylor_green.nc", "-o", tmp_path / "flow.amgsrn", "--steps", "300"]
    run(sys.executable, *fit, cwd=ROOT)

    on_some_display = f'source "{ROOT}/scripts/common.sh"; cd "{tmp_path}"; with_display "$@"'
    script = [ROOT / "examples" / "render_neural_volume.py", "flow.amgsrn", "flow.png", "--plugin", plugin]
    options = ["--state", "flow.pvsm", "--size", "320", "200", "--title", "a flow", "--units", "1/s"]
    assert "flow.png: 320x200" in run("bash", "-c", on_some_display, "-", "pvpython", *script, *options, cwd=tmp_path)

    picture = np.asarray(Image.open(tmp_path / "flow.png").convert("RGB")).astype(int)
    assert picture.shape == (200, 320, 3)
    middle = picture[60:140, 90:210]  # where the volume is: hot colours, more red than blue
    assert (middle[..., 0] - middle[..., 2] > 40).mean() > 0.05
    state = (tmp_path / "flow.pvsm").read_text(encoding="utf-8")
    assert "Neural Volume" in state
    assert "flow.amgsrn" in state
