# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong is told in one clear line, and ParaView lives on."""

from __future__ import annotations

import shutil

# Hides torch from Python's own way of finding modules, as if it were not installed.
HIDE_TORCH = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name == "torch" else find(name, path, target)
importlib.machinery.PathFinder.find_spec = find_spec
"""


def test_drawing_errors_are_told_once_each(paraview, model, tmp_path):
    path = tmp_path / "disappears.amgsrn"
    shutil.copyfile(model(), path)
    run = paraview.pvpython("broken_drawing", path)
    assert run.results.get("alive"), run.output
    assert "Traceback" not in run.output
    told = [line for line in run.output.splitlines() if "Neural Volume: " in line]
    assert len(told) == 2, run.output
    assert "disappears.amgsrn" in told[0]
    assert "ZeroDivisionError: a defect of two lines" in told[1]


def test_without_torch_everything_else_works(paraview, model, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDE_TORCH)
    run = paraview.pvpython("without_torch", model(), variables={"PYTHONPATH": str(tmp_path)})
    assert run.results.get("alive"), run.output
    assert run.results["points"] == 0
    assert "Traceback" not in run.output
    told = [line for line in run.output.splitlines() if "torch" in line]
    assert len(told) == 2, run.output
    assert "Neural Volume cannot work: Python does not find ['torch']" in told[0]
    assert "AMGSRN_PYTHON_PATHS" in told[0]
    assert "Neural Volume Reader" in told[1]
