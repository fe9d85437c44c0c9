"""The large sample volume is what it says, and the same however it is cut into pieces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import make_large_volume  # noqa: E402  (examples are scripts, not a package)


def test_pieces_are_parts_of_the_whole():
    noise, nodes = make_large_volume.octaves(48, seed=1), np.arange(48) / 48
    whole = make_large_volume.density(noise, nodes, nodes, nodes)
    part = make_large_volume.density(noise, nodes[10:21], nodes[30:], nodes[5:44])
    np.testing.assert_allclose(part, whole[10:21, 30:, 5:44], rtol=1e-4, atol=1e-6)


def test_nothing_is_outside_the_ball_and_much_inside():
    noise, nodes = make_large_volume.octaves(64, seed=0), np.arange(64) / 64
    values = make_large_volume.density(noise, nodes, nodes, nodes)
    z, y, x = np.meshgrid(nodes, nodes, nodes, indexing="ij")
    radius = np.sqrt((x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2)
    assert np.all(values[radius > make_large_volume.RADIUS + 1e-6] == 0)
    inside = np.log(values[radius < make_large_volume.RADIUS - make_large_volume.SKIN])
    assert 0.5 * make_large_volume.CONTRAST < inside.std() < 1.5 * make_large_volume.CONTRAST


def test_the_noise_is_periodic_and_as_strong_as_it_says():
    positions = np.linspace(0, 1, 33)
    weights = make_large_volume.spline_weights(positions, 8)
    np.testing.assert_allclose(weights.sum(dim=1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights[0], weights[-1], atol=1e-7)


def test_the_command_writes_a_chunked_file(tmp_path):
    output = tmp_path / "large.nc"
    command = [sys.executable, EXAMPLES / "make_large_volume.py", "--size", "40", "--chunk", "16", "--output", output]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "40x40x40" in result.stdout
    with netCDF4.Dataset(output) as file:
        variable = file["density"]
        assert variable.chunking() == [16, 16, 16]
        values = variable[:].data
        x = file["x"][:].data
    nodes = np.arange(40) / 40
    noise = make_large_volume.octaves(40, seed=0)
    np.testing.assert_allclose(values, make_large_volume.density(noise, nodes, nodes, nodes), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(x, nodes * make_large_volume.EDGE)
    assert [path.name for path in tmp_path.iterdir()] == ["large.nc"]


@pytest.mark.parametrize("arguments", [["--size", "4"], ["--chunk", "0"], ["--seed", "-1"], ["--output", "/no/where"]])
def test_wrong_arguments_are_one_clear_line(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_large_volume.parse_arguments(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err
