# SPDX-License-Identifier: BSD-3-Clause
"""Fitting, in this process: quality, resuming to the bit, special volumes, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from interruptions import interrupt_after

from amgsrn_core import errors as core_errors
from amgsrn_core import open_field, read_header
from amgsrn_core.grid import native_nodes, sample_nodes
from trainer import errors
from trainer.checkpoint import checkpoint_path
from trainer.fit import FitOptions, fit_volume
from trainer.recipes import PaperRecipe
from trainer.settings import FitSettings
from trainer.volumes import open_volume

CPU = torch.device("cpu")


def read(path):
    with open_volume(path) as reader:
        return reader.read()


@pytest.fixture
def volume(volume_file):
    return read(volume_file)


def quick(**changes):
    return FitSettings.of(**{"steps": 60, "batch": 300, **changes})


def options(**changes):
    return FitOptions(CPU, quiet=True, **{"say": lambda message: None, **changes})


def tensors(path):
    return {name: tensor.clone() for name, tensor in open_field(path, "cpu").network.state_dict().items()}


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("recipe", ["fast", "paper"])
@pytest.mark.parametrize("transform", ["matrix", "srt"])
def test_a_fit_learns_and_says_how_well(tmp_path, volume, recipe, transform):
    output = tmp_path / "m.amgsrn"
    result = fit_volume(volume, output, quick(steps=400, recipe=recipe, transform=transform), options())
    header = read_header(output)
    assert result.fresh
    assert header.training == result.training
    # The paper's recipe does not decay its learning rate this early.
    assert header.training["psnr_db"] > (30 if recipe == "fast" else 20)
    assert header.training["source"]["shape"] == [12, 14, 16]
    assert header.training["steps"] == 400
    assert header.array.name == "density"
    assert header.domain == volume.domain
    field = open_field(output, "cpu")
    found = sample_nodes(field, *native_nodes(field))[..., 0]
    mse = np.mean((found.astype(np.float64) - volume.values[..., 0]) ** 2)
    expected = 20 * np.log10(np.ptp(volume.values)) - 10 * np.log10(mse)
    assert header.training["psnr_db"] == pytest.approx(expected, abs=0.01)
    assert not checkpoint_path(output).exists()


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(tmp_path, volume):
    paths = [tmp_path / f"{k}.amgsrn" for k in range(3)]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        fit_volume(volume, path, quick(seed=seed), options())
    assert same_bits(tensors(paths[0]), tensors(paths[1]))
    assert not same_bits(tensors(paths[0]), tensors(paths[2]))


@pytest.mark.parametrize(
    ("preset", "recipe", "transform"),
    [("small", "fast", "matrix"), ("small", "fast", "srt"), ("small", "paper", "matrix"), ("medium", "fast", "matrix")],
)
def test_an_interrupted_fit_ends_with_the_same_bits(tmp_path, volume, monkeypatch, preset, recipe, transform):
    # A paper schedule short enough for its density loss, convergence and plateaus to happen.
    short = PaperRecipe(
        steps=60,
        batch=300,
        density_start=5,
        converge_start=20,
        converge_window=5,
        converge_change=10.0,
        plateau_window=8,
        plateau_patience=6,
        plateau_cooldown=3,
        plateau_change=0.5,
    )
    settings = FitSettings(preset, short, transform) if recipe == "paper" else quick(preset=preset, transform=transform)
    undisturbed, output = tmp_path / "a.amgsrn", tmp_path / "b.amgsrn"
    expected = fit_volume(volume, undisturbed, settings, options()).training
    messages = []
    for stop in (7, 14, 3):
        with monkeypatch.context() as patch:
            interrupt_after(patch, stop)
            with pytest.raises(errors.FitInterrupted, match="run the same command again to resume at step"):
                fit_volume(volume, output, settings, options(say=messages.append))
        assert checkpoint_path(output).exists()
        assert not output.exists()
    found = fit_volume(volume, output, settings, options(say=messages.append)).training
    assert sum(message.startswith("resuming at step") for message in messages) == 3
    assert sum(message.startswith("grids ") for message in messages) == 1, "placed once, not again on resuming"
    assert same_bits(tensors(undisturbed), tensors(output))
    for key in ("placement", "steps", "points", "psnr_db", "ssim", "max_abs_error"):
        assert found[key] == expected[key]
    assert not checkpoint_path(output).exists()


def test_a_checkpoint_is_a_model_that_can_be_looked_at(tmp_path, volume, monkeypatch):
    output = tmp_path / "m.amgsrn"
    interrupt_after(monkeypatch, 30)
    with pytest.raises(errors.FitInterrupted):
        fit_volume(volume, output, quick(), options())
    field = open_field(checkpoint_path(output), "cpu")
    assert field.domain == volume.domain


def test_checkpoints_of_other_fits_are_refused(tmp_path, volume, volume_file, monkeypatch):
    output = tmp_path / "m.amgsrn"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 20)
        with pytest.raises(errors.FitInterrupted):
            fit_volume(volume, output, quick(), options())
    with pytest.raises(errors.CheckpointMismatch, match="batch 300, not 200"):
        fit_volume(volume, output, quick(batch=200), options())
    other = read(volume_file)
    other.values[0, 0, 0] += 0.5
    with pytest.raises(errors.CheckpointMismatch, match="another volume"):
        fit_volume(other, output, quick(), options())
    assert fit_volume(other, output, quick(batch=200), options(overwrite=True)).fresh
    assert read_header(output).training["settings"]["batch"] == 200


def test_a_damaged_checkpoint_is_told_and_can_be_overwritten(tmp_path, volume):
    output = tmp_path / "m.amgsrn"
    checkpoint_path(output).write_bytes(b"nonsense")
    with pytest.raises(core_errors.ModelFileError, match="--overwrite"):
        fit_volume(volume, output, quick(), options())
    fit_volume(volume, output, quick(), options(overwrite=True))
    assert not checkpoint_path(output).exists()


def test_a_finished_fit_is_not_repeated(tmp_path, volume):
    output = tmp_path / "m.amgsrn"
    first = fit_volume(volume, output, quick(), options())
    stamp = output.stat().st_mtime_ns
    again = fit_volume(volume, output, quick(), options())
    assert not again.fresh
    assert again.training == first.training
    assert output.stat().st_mtime_ns == stamp
    with pytest.raises(errors.OutputExists, match="seed 0, not 1"):
        fit_volume(volume, output, quick(seed=1), options())
    assert output.stat().st_mtime_ns == stamp
    assert fit_volume(volume, output, quick(seed=1), options(overwrite=True)).fresh


def test_other_files_are_not_overwritten(tmp_path, volume):
    output = tmp_path / "m.amgsrn"
    output.write_text("my diary")
    with pytest.raises(errors.OutputExists, match="not a readable model"):
        fit_volume(volume, output, quick(), options())
    assert output.read_text() == "my diary"


def test_a_constant_volume_is_exact_at_once(tmp_path, write_netcdf):
    volume = read(write_netcdf(tmp_path / "c.nc", {"v": np.full((5, 6, 7), 3.25, np.float32)}))
    training = fit_volume(volume, tmp_path / "m.amgsrn", FitSettings.of(), options()).training
    assert (training["steps"], training["rmse"], training["max_abs_error"]) == (0, 0, 0)
    assert training["psnr_db"] is None
    field = open_field(tmp_path / "m.amgsrn", "cpu")
    assert (field.sample(torch.rand(100, 3) * 2 - 1) == 3.25).all()


def test_missing_values_are_left_out(tmp_path, write_netcdf, smooth_volume):
    values = smooth_volume((16, 16, 16)).copy()
    values[8:] = -1e34
    path = write_netcdf(tmp_path / "v.nc", {"v": values}, attributes={"v": {"_FillValue": np.float32(-1e34)}})
    training = fit_volume(read(path), tmp_path / "m.amgsrn", quick(steps=300), options()).training
    assert training["psnr_db"] > 30
    assert training["source"]["missing"] == 8 * 16 * 16


def test_huge_values(tmp_path, write_netcdf, smooth_volume):
    path = write_netcdf(tmp_path / "v.nc", {"v": smooth_volume() * 1e11})
    for recipe in ("fast", "paper"):
        training = fit_volume(
            read(path), tmp_path / f"{recipe}.amgsrn", quick(recipe=recipe, steps=300), options()
        ).training
        assert training["psnr_db"] > 20


def test_raw_units_do_not_change_the_papers_fit(tmp_path, write_netcdf, smooth_volume):
    """The paper's loss is in raw data units; ours is not, and gives the same network."""
    unit = smooth_volume() - smooth_volume().min()
    unit /= unit.max()
    results = []
    for k, scale in enumerate((1.0, 1024.0)):
        path = write_netcdf(tmp_path / f"{k}.nc", {"v": (unit * scale).astype(np.float32)})
        fit_volume(read(path), tmp_path / f"{k}.amgsrn", quick(recipe="paper", steps=40), options())
        results.append(tensors(tmp_path / f"{k}.amgsrn"))
    assert same_bits(*results)


def test_paper_recipe_moves_grids_by_the_density_loss_only(tmp_path, volume):
    short = PaperRecipe(steps=30, batch=300, density_start=10, density_end=0.8)
    start = FitSettings("small", PaperRecipe(steps=10, batch=300, density_start=10))
    fit_volume(volume, tmp_path / "a.amgsrn", start, options())
    fit_volume(volume, tmp_path / "b.amgsrn", FitSettings("small", short), options())
    before, after = (tensors(tmp_path / name)["placement.matrices"] for name in ("a.amgsrn", "b.amgsrn"))
    moved = (after - before).abs()[:, :3].max()
    # 13 steps of Adam, 5 at the first rate and 8 at half of it.
    assert 0 < moved <= (5 * 5e-4 + 8 * 2.5e-4) * 1.2


def test_a_diverging_fit_is_told(tmp_path, volume, monkeypatch):
    def undefined(optimiser, step, fraction, points, targets):
        return points.sum() * float("nan")

    monkeypatch.setattr("trainer.optimisers.FastOptimiser.step", undefined)
    with pytest.raises(errors.FitDiverged, match="step 20"):
        fit_volume(volume, tmp_path / "m.amgsrn", quick(), options())
    assert not list(tmp_path.glob("m.amgsrn*"))


def test_settings_that_make_no_sense():
    for wrong in ({"steps": 0}, {"batch": -1}, {"seed": -1}):
        with pytest.raises(errors.InvalidOption):
            FitSettings.of(**wrong)
