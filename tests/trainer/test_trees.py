# SPDX-License-Identifier: BSD-3-Clause
"""Models that are more than one network, to the commands: what `info` says of bricks and time steps, and which step the
other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from make_volume import make_volume

from amgsrn_core import ArrayInfo, Axis, Domain, open_field
from amgsrn_core.grid import native_nodes, sample_nodes
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField, ConstantField, Mask, MaskedField
from amgsrn_core.partition import Partition
from amgsrn_core.storage import (
    ModelHeader,
    brick_prefix,
    ensemble_description,
    part_of_field,
    read_header,
    series_description,
    step_prefix,
    write_tree,
)
from trainer import errors
from trainer.cli import main
from trainer.evaluation import evaluate
from trainer.metrics import measure
from trainer.model_tree import lines, members, summary
from trainer.opening import open_step

DOMAIN = Domain((Axis.uniform(9), Axis.uniform(7), Axis.uniform(5)))
ARRAY = ArrayInfo("density", "kg", (0.0, 2.0))
TIMES = (0.5, 2.0, 4.0)


def network(seed: int, domain: Domain = DOMAIN) -> AMGSRNField:
    return AMGSRNField(AMGSRN(AMGSRNConfig(2, 1, (3, 4, 5), hidden=(8,)), seed), domain, ARRAY)


def write_ensemble(path: Path, bricks: tuple[int, int, int]) -> Path:
    """Bricks of networks, the first empty, the second constant, the third with gaps."""
    partition = Partition.equal_split(DOMAIN.dimensions, bricks, 0.5)
    parts = []
    for k in range(partition.count):
        domain = DOMAIN.part(partition.extent(k))
        gaps = np.ones(domain.shape, bool)
        gaps[0, 0, 0] = False
        field = {0: ConstantField(None, domain, ARRAY), 1: ConstantField((1.5,), domain, ARRAY),
                 2: MaskedField(network(2, domain), Mask.of(gaps))}.get(k) or network(k, domain)  # fmt: skip
        parts.append(part_of_field(field))
    nodes = [{**part.node, "training": {"psnr_db": 30.0 + k}} for k, part in enumerate(parts)]
    header = ModelHeader(ensemble_description(partition, nodes), DOMAIN, ARRAY, {"psnr_db": 41.5})
    write_tree(path, header, [(brick_prefix(k), part.tensors) for k, part in enumerate(parts)])
    return path


def write_series(path: Path, numbers: list[int]) -> Path:
    """Three steps, of the steps of a file with these numbers."""
    parts = [part_of_field(network(k)) for k in range(3)]
    training = {"source": {"file": "v.nc", "variable": "density", "time_index": numbers, "bytes": 3780}}
    header = ModelHeader(series_description(TIMES, [part.node for part in parts]), DOMAIN, ARRAY, training)
    write_tree(path, header, [(step_prefix(k), part.tensors) for k, part in enumerate(parts)])
    return path


def test_an_ensemble_is_described_brick_by_brick(tmp_path) -> None:
    header = read_header(write_ensemble(tmp_path / "e.amgsrn", (2, 2, 1)))
    assert summary(header) == "ensemble of 2 x 2 x 1 bricks (2 networks, 2 constant or empty), overlap 0.5 nodes"
    bricks = members(header)["bricks"]
    assert [brick["brick"] for brick in bricks] == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert bricks[3]["nodes"] == [[3, 8], [2, 6], [0, 4]]
    assert bricks[3]["training"] == {"psnr_db": 33.0}
    assert [brick["gaps"] for brick in bricks] == [False, False, True, False]
    assert lines(header)[0] == "brick 0,0,0: nodes 0-5 0-4 0-4  empty  30.00 dB"
    assert lines(header)[1] == "brick 1,0,0: nodes 3-8 0-4 0-4  constant 1.5  31.00 dB"
    assert lines(header)[2].endswith("parameters  32.00 dB  gaps")


def test_people_are_not_shown_hundreds_of_bricks_and_json_has_them_all(tmp_path, capsys) -> None:
    path = write_ensemble(tmp_path / "e.amgsrn", (4, 4, 3))
    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert "... and 16 more (--json lists all)" in text
    assert "41.50 dB" in text
    assert len(text.splitlines()) < 60
    assert main(["info", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["bricks"]) == 48
    assert result["parameters"] == sum(brick["parameters"] for brick in result["bricks"])


def test_a_series_is_described_step_by_step(tmp_path, capsys) -> None:
    path = write_series(tmp_path / "s.amgsrn", [0, 1, 2])
    header = read_header(path)
    assert summary(header).startswith("series of 3 time steps, each network of 2 grids of 3 x 4 x 5 nodes")
    assert [step["time"] for step in members(header)["time_steps"]] == list(TIMES)
    assert main(["info", str(path)]) == 0
    assert "step 1 at 2: " in capsys.readouterr().out


def test_a_single_network_has_no_members(tmp_path) -> None:
    header = ModelHeader(network(0).network.config.to_dict(), DOMAIN, ARRAY)
    assert members(header) == {}
    assert lines(header) == []


@pytest.mark.parametrize(("wanted", "step"), [(None, 0), (1, 1), (-1, 2), (-3, 0)])
def test_steps_are_counted_from_0_and_from_the_end(tmp_path, wanted, step) -> None:
    path = write_series(tmp_path / "s.amgsrn", [0, 1, 2])
    field = open_step(path, "cpu", wanted)
    assert field.domain.time == TIMES[step]
    nodes = native_nodes(field)
    np.testing.assert_array_equal(sample_nodes(field, *nodes), sample_nodes(network(step), *nodes))


@pytest.mark.parametrize("wrong", [3, -4])
def test_steps_that_a_model_does_not_have(tmp_path, wrong) -> None:
    path = write_series(tmp_path / "s.amgsrn", [0, 1, 2])
    with pytest.raises(errors.NoSuchModelTime, match="has 3 time steps; choose 0 to 2"):
        open_step(path, "cpu", wrong)
    with pytest.raises(errors.NoSuchModelTime, match="has 3 time steps"):
        evaluate(path, path, time=wrong)
    with pytest.raises(errors.ModelTimeNotChosen, match="choose one with --time 0 to 2"):
        evaluate(path, path)


def test_export_takes_the_step(tmp_path, capsys) -> None:
    path = write_series(tmp_path / "s.amgsrn", [0, 1, 2])
    assert main(["export", str(path), str(tmp_path / "out.nc"), "--time", "1", "--device", "cpu"]) == 0
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert float(file["time"][...]) == 2.0
        np.testing.assert_allclose(file["density"][:], sample_nodes(network(1), *native_nodes(network(1)))[..., 0])


def test_a_step_is_compared_with_the_one_it_was_made_from(tmp_path, write_netcdf) -> None:
    path = write_series(tmp_path / "s.amgsrn", [5, 3, 1])
    values = np.random.default_rng(0).random((6, 5, 7, 9)).astype(np.float32)
    file = write_netcdf(tmp_path / "v.nc", {"density": values}, ("time", "z", "y", "x"))
    for step, number in enumerate((5, 3, 1)):
        result = evaluate(path, file, time=step, device="cpu")
        assert result["time_index"] == number
        assert result["psnr_db"] == pytest.approx(measure(network(step), make_volume(values[number])).psnr_db)


def test_open_field_needs_no_step(tmp_path) -> None:
    path = write_series(tmp_path / "s.amgsrn", [0, 1, 2])
    assert open_field(path, "cpu").domain.time == open_step(path, "cpu").domain.time
