# SPDX-License-Identifier: BSD-3-Clause
"""Colour maps read from ParaView's JSON, against ParaView's own colours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from amgsrn_core.errors import InvalidTransferFunction
from amgsrn_core.raymarch import DEFAULT_COLOUR_MAP, colour_map, read_colour_map

MAPS = {
    "cool to warm": DEFAULT_COLOUR_MAP["RGBPoints"],
    "two saturated colours": [-1.0, 0.1, 0.2, 0.9, 3.0, 0.9, 0.2, 0.1],
    "colours near each other": [0.0, 0.1, 0.2, 0.9, 1.0, 0.2, 0.9, 0.8],
    "through grey": [0.0, 0.5, 0.5, 0.5, 0.25, 0.9, 0.1, 0.1, 1.0, 0.2, 0.2, 0.2],
}
SPACES = ["RGB", "HSV", "Lab", "Diverging", "Step"]

ORACLE = """
import json, sys
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction
maps, spaces, count = json.loads(sys.argv[1])
answer = {}
for space in spaces:
    for name, points in maps.items():
        function = vtkColorTransferFunction()
        getattr(function, "SetColorSpaceTo" + space)()
        function.HSVWrapOn()
        for i in range(0, len(points), 4):
            function.AddRGBPoint(*points[i:i + 4])
        low, high = points[0], points[-4]
        colours = []
        for i in range(count):
            colour = [0.0, 0.0, 0.0]
            function.GetColor(low + (high - low) * i / (count - 1), colour)
            colours.append(colour)
        answer[space + "/" + name] = colours
print("ANSWER" + json.dumps(answer))
"""


@pytest.mark.skipif(shutil.which("pvpython") is None, reason="ParaView's pvpython is not installed")
def test_colours_are_paraviews_in_every_colour_space(tmp_path: Path) -> None:
    script = tmp_path / "oracle.py"
    script.write_text(ORACLE)
    command = ["pvpython", "--force-offscreen-rendering", str(script), json.dumps([MAPS, SPACES, 1024])]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answer = json.loads(output.split("ANSWER")[1])
    for space in SPACES:
        for name, points in MAPS.items():
            table = colour_map({"ColorSpace": space, "RGBPoints": points}).table[:, :3].numpy()
            np.testing.assert_allclose(table, answer[f"{space}/{name}"], atol=2e-3, err_msg=f"{space}/{name}")


def test_a_file_keeps_its_range_unless_another_is_given(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    entry = {
        "Name": "mine",
        "RGBPoints": [-2, 0, 0, 0, 6, 1, 1, 1],
        "Points": [-2, 0, 0.5, 0, 2, 0.8, 0.5, 0, 6, 0.8, 0.5, 0],
    }
    path.write_text(json.dumps([entry]))
    own, stretched = read_colour_map(path), read_colour_map(path, (0.0, 1.0))
    assert own.value_range == (-2.0, 6.0)
    assert stretched.value_range == (0.0, 1.0)
    np.testing.assert_array_equal(own.table, stretched.table)
    np.testing.assert_allclose(own.table[[0, 256, 512, 1023], 3], [0, 0.4, 0.8, 0.8], atol=2e-3)


def test_opacity_rises_linearly_where_the_file_has_none() -> None:
    table = colour_map(DEFAULT_COLOUR_MAP).table
    np.testing.assert_allclose(table[:, 3], np.linspace(0, 1, len(table)), atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "7",
        '[{"RGBPoints": [0, 1, 1, 1]}]',
        '[{"RGBPoints": [1, 0, 0, 0, 0, 1, 1, 1]}]',
        '[{"RGBPoints": [0, 0, 0]}]',
        '[{"RGBPoints": ["a", 0, 0, 0, 1, 1, 1, 1]}]',
        '[{"RGBPoints": [0, 0, 0, 0, 1, 1, 1, 1], "ColorSpace": "CMYK"}]',
    ],
)
def test_other_files_are_refused_with_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(InvalidTransferFunction) as caught:
        read_colour_map(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTransferFunction, match="No such file"):
        read_colour_map(tmp_path / "none.json")
