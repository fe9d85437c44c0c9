# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core import grid, open_field, read_header
from amgsrn_core.models import SeriesField
from amgsrn_core.storage import part_of
from trainer.cli import main
from trainer.errors import FitInterrupted, InvalidOption
from trainer.fit import fit_volume
from trainer.series import steps as series_steps
from trainer.series.ranges import fits, union
from trainer.series.selection import parse_time, select
from trainer.series.summary import total
from trainer.series.warm import WARM_SHARE

QUICK = ("--steps", 100, "--batch", 256, "--device", "cpu")
STEPS = 4


def wave(step: int, shape: tuple[int, int, int] = (9, 10, 12)) -> np.ndarray:
    """A smooth volume [z, y, x] that moves on with each step."""
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    return (10 + np.sin(4 * x + y + 0.05 * step) * np.cos(2 * z)).astype(np.float32)


Write = Callable[..., Path]


@pytest.fixture(name="write_series")
def write_series_fixture(tmp_path: Path) -> Write:
    def write(*arrays: np.ndarray, times: list[float] | None = None, **others: list[np.ndarray]) -> Path:
        path = tmp_path / "series.nc"
        with netCDF4.Dataset(str(path), "w") as file:
            for name, count in zip(("time", "z", "y", "x"), (len(arrays), *arrays[0].shape), strict=True):
                file.createDimension(name, count)
            if times is not None:
                coordinate = file.createVariable("time", "f8", ("time",))
                coordinate.units = "s"
                coordinate[:] = times
            for name, values in {"t": list(arrays), **others}.items():
                file.createVariable(name, "f4", ("time", "z", "y", "x"), fill_value=-999.0)[:] = np.stack(values)
        return path

    return write


@pytest.fixture
def series(write_series: Write) -> Path:
    return write_series(*map(wave, range(STEPS)), times=[0.0, 0.5, 1.5, 4.0])


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command line in this process, which is quicker."""
    before = signal.getsignal(signal.SIGTERM)

    def run_here(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    yield run_here
    signal.signal(signal.SIGTERM, before)


def fit(run: Run, *arguments: object) -> dict[str, Any]:
    done = run("fit", *arguments, *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("all", slice(None)),
        ("3", 3),
        ("-1", -1),
        ("0:10:2", slice(0, 10, 2)),
        ("2:", slice(2, None)),
        (":-1", slice(None, -1)),
        ("::3", slice(None, None, 3)),
        (None, None),
    ],
)
def test_times_as_they_are_written(text: str | None, chosen: int | slice | None) -> None:
    assert parse_time(text) == chosen


@pytest.mark.parametrize("text", ["", "some", "1:2:0", "1:2:-1", "1.5", "1:2:3:4", "9" * 30, "1,2"])
def test_times_that_make_no_sense(text: str) -> None:
    with pytest.raises(InvalidOption, match="--time"):
        parse_time(text)


@given(st.integers(1, 30), st.none() | st.integers(-40, 40), st.none() | st.integers(-40, 40), st.integers(1, 5))
def test_chosen_steps_are_there_and_ascend(steps: int, first: int | None, stop: int | None, stride: int) -> None:
    try:
        chosen = select(slice(first, stop, stride), steps)
    except InvalidOption:
        assert not list(range(steps))[first:stop:stride]
        return
    assert list(chosen) == list(range(steps))[first:stop:stride]


def test_ranges_that_an_earlier_scaling_fits() -> None:
    assert fits(((0.0, 1.0),), ((0.0, 1.0),))
    assert fits(((0.5, 1.0),), ((0.0, 1.0),))
    assert fits(((-0.4, 0.9),), ((0.0, 1.0),))
    assert not fits(((0.0, 0.4),), ((0.0, 1.0),))
    assert not fits(((0.0, 2.1),), ((0.0, 1.0),))
    assert not fits(((0.6, 1.6),), ((0.0, 1.0),))
    assert not fits(((0.0, 1.0), (5.0, 5.0)), ((0.0, 1.0), (0.0, 1.0)))
    assert not fits(((5.0, 5.0),), ((4.0, 4.0),))
    assert union([((0.0, 1.0), (3.0, 3.0)), ((-1.0, 0.5), (2.0, 9.0))]) == ((-1.0, 1.0), (2.0, 9.0))


def test_errors_of_all_steps_together() -> None:
    rng = np.random.default_rng(0)
    errors = [rng.normal(size=n) for n in (100, 300)]
    steps = [
        {"values": len(e), "rmse": float(np.sqrt(np.mean(e**2))), "max_abs_error": float(np.abs(e).max()), "steps": 5}
        for e in errors
    ]
    together = np.concatenate(errors)
    found = total([*steps, {"values": 0}], ((0.0, 7.0),))
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(together**2)))
    assert found["psnr_db"] == pytest.approx(20 * np.log10(7.0) - 10 * np.log10(np.mean(together**2)))
    assert found["max_abs_error"] == np.abs(together).max()
    assert found["steps"] == 10


def test_a_series_becomes_one_model(run: Run, series: Path, tmp_path: Path) -> None:
    result = fit(run, series, "-o", tmp_path / "m.amgsrn", "--time", "all")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.amgsrn", "series.nc"]
    steps = result["time_steps"]
    assert [step["warm_start"] for step in steps] == [False, True, True, True]
    assert [step["steps"] for step in steps] == [100, *[round(100 * WARM_SHARE)] * 3]
    field = open_field(tmp_path / "m.amgsrn", "cpu")
    assert isinstance(field, SeriesField)
    assert field.times == (0.0, 0.5, 1.5, 4.0)
    assert field.domain.time_units == "s"
    squares = 0.0
    for i, step in enumerate(steps):
        found = grid.sample_nodes(field.step(i), *grid.native_nodes(field))[..., 0]
        errors = found.astype(np.float64) - wave(i)
        assert step["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
        assert step["time"] == field.times[i]
        squares += float(np.mean(errors**2)) / STEPS
    everything = np.stack([wave(i) for i in range(STEPS)])
    assert result["rmse"] == pytest.approx(np.sqrt(squares), rel=1e-4)
    assert result["psnr_db"] == pytest.approx(20 * np.log10(np.ptp(everything)) - 10 * np.log10(squares), abs=1e-3)
    assert field.array.value_range == (everything.min(), everything.max())
    assert result["parameters"] == read_header(tmp_path / "m.amgsrn").tree.parameters
    assert result["compression_ratio"] == pytest.approx(
        everything.nbytes / (tmp_path / "m.amgsrn").stat().st_size, rel=1e-3
    )


def test_a_finished_series_is_left_alone_and_another_is_refused(run: Run, series: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.amgsrn"
    fit(run, series, "-o", output, "--time", "0:2")
    before = output.stat().st_mtime_ns
    again = run("fit", series, "-o", output, "--time", "0:2", *QUICK)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert output.stat().st_mtime_ns == before
    other = run("fit", series, "-o", output, "--time", "all", *QUICK)
    assert other.returncode == 2
    assert "time_steps [0, 1], not [0, 1, 2, 3]" in other.stderr
    assert len(fit(run, series, "-o", output, "--time", "all", "--overwrite")["time_steps"]) == STEPS


def test_a_warm_start_is_better_than_as_many_steps_from_nothing(run: Run, series: Path, tmp_path: Path) -> None:
    warm = fit(run, series, "-o", tmp_path / "warm.amgsrn", "--time", "all")["time_steps"][1:]
    for i, step in enumerate(warm, start=1):
        done = run(
            "fit", series, "-o", tmp_path / "cold.amgsrn", "--time", i, "--overwrite", "--json", "--batch", 256,
            "--steps", round(100 * WARM_SHARE), "--device", "cpu",
        )  # fmt: skip
        assert step["psnr_db"] > json.loads(done.stdout)["psnr_db"] + 1.0


def test_gaps_constants_and_steps_without_values(run: Run, write_series: Write, tmp_path: Path) -> None:
    holes = wave(0)
    holes[:, :3] = -999.0
    nothing = np.full_like(holes, -999.0)
    later = wave(3)
    later[:, :3] = -999.0
    path = write_series(nothing, holes, np.full_like(holes, 7.0), nothing, later)
    result = fit(run, path, "-o", tmp_path / "m.amgsrn", "--time", "all")
    steps = result["time_steps"]
    assert [step["warm_start"] for step in steps] == [False, False, False, False, True]
    assert [step["values"] for step in steps] == [0, holes.size * 7 // 10, holes.size, 0, holes.size * 7 // 10]
    field = open_field(tmp_path / "m.amgsrn", "cpu")
    assert isinstance(field, SeriesField)
    assert field.times == (0.0, 1.0, 2.0, 3.0, 4.0)
    for i, truth in enumerate((nothing, holes, np.full_like(holes, 7.0), nothing, later)):
        found = grid.sample_nodes(field.step(i), *grid.native_nodes(field))[..., 0]
        np.testing.assert_array_equal(np.isnan(found), truth == -999.0)
    assert field.step(1).mask is field.step(4).mask
    assert (found[:, 3:] - later[:, 3:]).std() < 0.2
    assert field.step(2).sample(torch.zeros(1, 3)).item() == 7.0


def test_a_series_without_any_value(run: Run, write_series: Write, tmp_path: Path) -> None:
    nothing = np.full((4, 4, 4), -999.0, np.float32)
    done = run("fit", write_series(nothing, nothing), "-o", tmp_path / "m.amgsrn", "--time", "all", *QUICK)
    assert done.returncode == 2
    assert "no valid value" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_range_that_changes_much_gets_a_network_of_its_own(run: Run, write_series: Write, tmp_path: Path) -> None:
    path = write_series(wave(0), 1000.0 * wave(1), 1000.0 * wave(2))
    result = fit(run, path, "-o", tmp_path / "m.amgsrn", "--time", "all")
    assert [step["warm_start"] for step in result["time_steps"]] == [False, False, True]
    tree = read_header(tmp_path / "m.amgsrn").tree
    assert len({node.config for node in tree.members}) == 1
    scalings = [node.scaling for node in tree.members]
    assert scalings[0] != scalings[1]
    assert scalings[1] == scalings[2]


def test_several_components(run: Run, write_series: Write, tmp_path: Path) -> None:
    waves = [wave(i) for i in range(3)]
    path = write_series(*waves, u=[-2 * w for w in waves])
    result = fit(run, path, "-o", tmp_path / "m.amgsrn", "--time", "all", "--variable", "t,u")
    assert [len(step["components"]) for step in result["time_steps"]] == [2, 2, 2]
    field = open_field(tmp_path / "m.amgsrn", "cpu", time=2.0)
    assert field.array.components == 2
    assert field.array.component_ranges[1] == pytest.approx((-22.0, -18.0), abs=0.1)
    found = grid.sample_nodes(field, *grid.native_nodes(field))
    assert np.abs(found[..., 1] + 2 * waves[2]).mean() < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--time", "7:9"), "chooses none of the 4 time steps"),
        (("--time", "often"), "makes no sense"),
        (("--time", "all", "--target-psnr", 40), "--target-psnr"),
        (("--time", "all", "--target-size", 1000), "--target-size 1000 is too small: the least"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    run: Run, series: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    done = run("fit", series, "-o", tmp_path / "m.amgsrn", *arguments, "--device", "cpu")
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "m.amgsrn").exists()


def test_a_grid_that_moves_is_refused(run: Run, tmp_path: Path) -> None:
    dims, path = ("time", "z", "y", "x"), tmp_path / "moving.nc"
    t, z, y, _ = np.meshgrid(np.arange(3.0), *map(np.arange, (4.0, 5.0, 6.0)), indexing="ij")
    with netCDF4.Dataset(str(path), "w") as file:
        for name, count in zip(dims, t.shape, strict=True):
            file.createDimension(name, count)
        file.createVariable("height", "f8", dims)[:] = (z + 0.1 * y) * (1 + np.maximum(t - 1, 0))
        variable = file.createVariable("v", "f4", dims)
        variable.coordinates = "height"
        variable[:] = np.stack([wave(i, (4, 5, 6)) for i in range(3)])
    assert len(fit(run, path, "-o", tmp_path / "m.amgsrn", "--variable", "v", "--time", "0:2")["time_steps"]) == 2
    done = run("fit", path, "-o", tmp_path / "n.amgsrn", "--variable", "v", "--time", "all", *QUICK)
    assert done.returncode == 2
    assert "time step 2 is not on the nodes of step 0" in done.stderr.splitlines()[-1]


def test_volumes_without_time_are_no_series(run: Run, volume_file: Path, tmp_path: Path) -> None:
    done = run("fit", volume_file, "-o", tmp_path / "m.amgsrn", "--time", "all", "--device", "cpu")
    assert done.returncode == 2
    assert "has no time steps; leave out --time" in done.stderr


def test_target_size_is_of_the_whole_file(run: Run, series: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.amgsrn"
    fit(run, series, "-o", output, "--time", "all", "--target-size", "200k")
    assert 100_000 < output.stat().st_size <= 200_000


def tensors(path: Path) -> dict[str, bytes]:
    return {name: b"".join(tensor.chunks()) for name, tensor in part_of(path).tensors.items()}


@pytest.mark.slow
def test_a_killed_series_goes_on_and_gives_the_same(
    trainer: Any, start_trainer: Any, series: Path, tmp_path: Path
) -> None:
    command = ("--time", "all", "--steps", 1000, "--batch", 256, "--device", "cpu", "--checkpoint-interval", 0.2)
    whole = tmp_path / "whole.amgsrn"
    assert trainer("fit", series, "-o", whole, *command).returncode == 0
    output = tmp_path / "m.amgsrn"
    kills, seen = 0, set()
    for pause in (0.3, 0.6, 0.1, 0.5, 0.2, 0.4):
        process = start_trainer("fit", series, "-o", output, *command)
        parts = tmp_path / "m.amgsrn.parts"
        deadline = time.monotonic() + 60
        while process.poll() is None and not list(parts.glob("*.checkpoint")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(pause)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        finished = {path.name for path in parts.glob("step-????.amgsrn")}
        assert seen <= finished or output.exists()
        seen = finished
    assert kills >= 2
    done = trainer("fit", series, "-o", output, *command)
    assert done.returncode == 0, done.stderr
    assert tensors(output) == tensors(whole)
    assert not (tmp_path / "m.amgsrn.parts").exists()


def test_an_interrupted_series_keeps_its_steps_and_makes_damaged_ones_again(
    run: Run, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("fit", series, "-o", tmp_path / "m.amgsrn", "--time", "all", *QUICK)
    fitted: list[str] = []

    def until_the_third(volume: Any, path: Path, *others: Any) -> Any:
        if len(fitted) == 2:
            raise FitInterrupted("interrupted")
        fitted.append(path.name)
        return fit_volume(volume, path, *others)

    monkeypatch.setattr(series_steps, "fit_volume", until_the_third)
    assert run(*command).returncode == 130
    assert fitted == ["step-0000.amgsrn", "step-0001.amgsrn"]
    parts = tmp_path / "m.amgsrn.parts"
    damaged = parts / "step-0001.amgsrn"
    damaged.write_bytes(damaged.read_bytes()[:500])
    other = run(*command, "--seed", 1)
    assert other.returncode == 2
    assert "another fit (seed 0, not 1)" in other.stderr

    def note(volume: Any, path: Path, *others: Any) -> Any:
        fitted.append(path.name)
        return fit_volume(volume, path, *others)

    monkeypatch.setattr(series_steps, "fit_volume", note)
    assert run(*command).returncode == 0
    assert fitted[2:] == ["step-0001.amgsrn", "step-0002.amgsrn", "step-0003.amgsrn"]
    assert run("fit", series, "-o", tmp_path / "whole.amgsrn", "--time", "all", *QUICK).returncode == 0
    assert tensors(tmp_path / "m.amgsrn") == tensors(tmp_path / "whole.amgsrn")
    assert not parts.exists()


@pytest.mark.slow
def test_each_step_brick_by_brick(trainer: Any, series: Path, tmp_path: Path) -> None:
    """Learned by subprocesses; the steps that are finished stay when the run is repeated."""
    command = ("fit", series, "-o", tmp_path / "m.amgsrn", "--time", "0:2", "--bricks", "2,1,1", "--ghost", 1, *QUICK)
    done = trainer(*command, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    tree = read_header(tmp_path / "m.amgsrn").tree
    assert (tree.steps, tree.bricks) == (2, (2, 1, 1))
    assert [step["warm_start"] for step in result["time_steps"]] == [False, False]
    assert result["points_per_second"] == pytest.approx(2 * 2 * 100 * 256 / result["seconds"], rel=0.2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.amgsrn", "series.nc"]
    for i in range(2):
        field = open_field(tmp_path / "m.amgsrn", "cpu", time=0.5 * i)
        found = grid.sample_nodes(field, *grid.native_nodes(field))[..., 0]
        assert result["time_steps"][i]["psnr_db"] == pytest.approx(
            20 * np.log10(np.ptp(wave(i))) - 10 * np.log10(np.mean((found.astype(np.float64) - wave(i)) ** 2)), abs=1.0
        )
    again = trainer(*command)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    only = trainer(*command, "--only-bricks", "0", "--overwrite")
    assert only.returncode == 2
    assert "--only-bricks is for a single time step" in only.stderr


def test_a_step_that_has_little_in_common_with_the_one_before_begins_anew(
    run: Run, write_series: Write, tmp_path: Path
) -> None:
    path = write_series(wave(0), wave(0)[::-1, ::-1, ::-1], wave(1)[::-1, ::-1, ::-1])
    result = fit(run, path, "-o", tmp_path / "m.amgsrn", "--time", "all")
    assert [step["warm_start"] for step in result["time_steps"]] == [False, False, True]
    assert len({node.config for node in read_header(tmp_path / "m.amgsrn").tree.members}) == 1
