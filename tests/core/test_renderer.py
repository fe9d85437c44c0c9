# SPDX-License-Identifier: BSD-3-Clause
"""The plugin's renderer without ParaView: requests as the mapper makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amgsrn_core import ArrayInfo, Axis, Domain, save_field
from amgsrn_core.errors import ModelFileMissing, NotAModelFile
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField
from amgsrn_core.raymarch import orbit_camera
from amgsrn_core.storage import ModelHeader, part_of_field, series_description, step_prefix, write_tree
from paraview_plugin import open_models, renderer

KEY = 4711
DOMAIN = Domain((Axis.uniform(24, -1.0, 0.5), Axis.uniform(16, 3.0, 0.5), Axis.uniform(20, 0.0, 0.5)))


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    renderer.release(KEY)


def make_field(seed: int, components: int = 1) -> AMGSRNField:
    network = AMGSRN(AMGSRNConfig(grids=2, resolution=(8, 8, 8), hidden=(16,), outputs=components), seed)
    with torch.no_grad():
        network.grids.copy_(torch.randn(network.grids.shape, generator=torch.Generator().manual_seed(seed)))
    return AMGSRNField(network, DOMAIN, ArrayInfo("density", "", (0.0, 1.0), components))


def describe(path: Path, stamp: object, **more: Any) -> str:
    return json.dumps({"file": str(path), "array": "density", "stamp": str(stamp), **more})


def write_model(path: Path, seed: int, components: int = 1) -> str:
    save_field(path, make_field(seed, components))
    return describe(path, seed)


def write_series(path: Path, times: tuple[float, ...]) -> None:
    fields = [make_field(seed) for seed in range(len(times))]
    steps = [part_of_field(field) for field in fields]
    header = ModelHeader(series_description(times, [s.node for s in steps]), DOMAIN, fields[0].array)
    write_tree(path, header, [(step_prefix(i), step.tensors) for i, step in enumerate(steps)])


def request(model: str, width: int = 60, height: int = 40, **changes: Any) -> dict[str, Any]:
    table = np.linspace(0, 1, 256, dtype=np.float32)[:, None].repeat(4, axis=1)
    result: dict[str, Any] = {
        "key": KEY,
        "model": model,
        "array": "density",
        "bounds": DOMAIN.bounds,
        "width": width,
        "height": height,
        "world_to_clip": tuple(orbit_camera(DOMAIN.bounds, 30, 20, width, height).data_to_clip.ravel()),
        "model_to_world": tuple(np.eye(4).ravel()),
        "clipping_planes": (),
        "table": memoryview(table).cast("B"),
        "range": (-1.0, 1.0),
        "component": -1,
        "unit_distance": 2.0,
        "samples_per_voxel": 1.0,
        "interactive": False,
        "budget_ms": 0.0,
        "depth": memoryview(np.ones((height, width), np.float32)).cast("B"),
        "image": memoryview(bytearray(width * height * 4)),
    }
    return {**result, **changes}


def picture(filled: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(filled["image"], np.uint8).reshape(filled["height"], filled["width"], 4).astype(int)


def drawn(model: str, **changes: Any) -> np.ndarray:
    filled = request(model, **changes)
    assert renderer.render(filled) == (True, 1.0)
    return picture(filled)


def test_a_script_gets_the_complete_picture_at_once(tmp_path: Path) -> None:
    image = drawn(write_model(tmp_path / "a.amgsrn", 1))
    assert (image[..., 3] > 20).mean() > 0.1
    assert (image[..., :3] <= image[..., 3:] + 1).all(), "colours are premultiplied"
    assert (image[0] == 0).all(), "nothing is drawn outside the box"


def test_slices_end_with_the_complete_picture(tmp_path: Path) -> None:
    model = write_model(tmp_path / "a.amgsrn", 1)
    complete = drawn(model)
    renderer.release(KEY)
    fractions = []
    for _ in range(1000):
        filled = request(model, budget_ms=1.0)
        done, fraction = renderer.render(filled)
        fractions.append(fraction)
        if done:
            break
    assert len(fractions) > 1
    assert fractions == sorted(fractions)
    assert np.abs(picture(filled) - complete).max() <= 1


@pytest.mark.parametrize(
    "change",
    [
        {"unit_distance": 1.0},
        {"range": (-0.5, 1.0)},
        {"samples_per_voxel": 0.5},
        {"clipping_planes": (0.0, 5.0, 0.0, 0.0, 1.0, 0.0)},
        {"depth": memoryview(np.full((40, 60), 0.5, np.float32)).cast("B")},
        {"table": memoryview(np.full((2, 4), 0.3, np.float32)).cast("B")},
        {"model_to_world": tuple(np.diag([1.0, 1.2, 1.0, 1.0]).ravel())},
        {"bounds": (-1.0, 5.0, 3.0, 10.5, 0.0, 9.5)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_starts_a_new_picture(tmp_path: Path, change: dict[str, Any]) -> None:
    model = write_model(tmp_path / "a.amgsrn", 1)
    before = drawn(model)
    after = drawn(model, **change)
    assert np.abs(before - after).max() > 3
    np.testing.assert_array_equal(drawn(model), before)


def test_a_model_that_was_fitted_anew_is_opened_anew(tmp_path: Path) -> None:
    before = drawn(write_model(tmp_path / "a.amgsrn", 1))
    after = drawn(write_model(tmp_path / "a.amgsrn", 2))
    assert np.abs(before - after).max() > 3


def test_components_and_the_magnitude_have_their_own_pictures(tmp_path: Path) -> None:
    model = write_model(tmp_path / "a.amgsrn", 1, components=3)
    pictures = [drawn(model, component=component) for component in (-1, 0, 1, 2)]
    for i, one in enumerate(pictures):
        assert all(np.abs(one - other).max() > 3 for other in pictures[:i])
    # A colour map that was at a component which this array does not have.
    np.testing.assert_array_equal(drawn(model, component=7), pictures[3])
    single = write_model(tmp_path / "b.amgsrn", 1)
    np.testing.assert_array_equal(drawn(single, component=2), drawn(single, component=-1))


def test_the_picture_is_that_of_the_time_in_the_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "series.amgsrn"
    write_series(path, (0.0, 1.0, 4.0))
    for i, time in enumerate((0.0, 1.0, 4.0)):
        step = drawn(write_model(tmp_path / f"{i}.amgsrn", i))
        np.testing.assert_array_equal(drawn(describe(path, 1, time=time, interpolate=False)), step)
    between = drawn(describe(path, 1, time=2.5, interpolate=True))
    assert np.abs(between - drawn(describe(path, 1, time=1.0, interpolate=False))).max() > 3
    assert np.abs(between - drawn(describe(path, 1, time=4.0, interpolate=False))).max() > 3


def test_a_file_is_opened_once_and_few_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "series.amgsrn"
    write_series(path, (0.0, 1.0))
    series = open_models.open_model(str(path), "1")
    assert open_models.open_model(str(path), "1") is series
    assert series.at(0.0).domain.time == 0.0
    assert series.at(0.8).domain.time == 1.0
    assert series.at(0.8, interpolate=True).domain.time == 0.8
    for i in range(4):
        write_model(tmp_path / f"{i}.amgsrn", i)
        open_models.open_model(str(tmp_path / f"{i}.amgsrn"), str(i))
    assert open_models.open_model(str(path), "1") is not series


def test_another_array_draws_nothing(tmp_path: Path) -> None:
    assert not drawn(write_model(tmp_path / "a.amgsrn", 1), array="pressure").any()


def test_a_moving_camera_gets_a_quick_picture_even_in_scripts(tmp_path: Path) -> None:
    model = write_model(tmp_path / "a.amgsrn", 1)
    width, height = 1200, 900
    camera = tuple(orbit_camera(DOMAIN.bounds, 30, 20, width, height).data_to_clip.ravel())
    filled = request(model, width, height, interactive=True, world_to_clip=camera, samples_per_voxel=8.0)
    done, fraction = renderer.render(filled)
    assert not done
    assert 0 < fraction < 1
    assert picture(filled).any()


def test_planes_follow_a_moved_and_stretched_actor(tmp_path: Path) -> None:
    # Clipping at the same place of the data gives the same pixels, wherever the actor stands.
    model = write_model(tmp_path / "a.amgsrn", 1)
    actor = np.diag([2.0, 1.0, 0.5, 1.0])
    actor[:3, 3] = [5.0, -3.0, 1.0]
    camera = orbit_camera(DOMAIN.bounds, 30, 20, 60, 40).data_to_clip
    point, normal = np.array([4.0, 6.0, 4.0]), np.array([1.0, 0.5, -0.25])
    moved_point = (actor @ [*point, 1.0])[:3]
    moved_normal = np.linalg.inv(actor[:3, :3]).T @ normal
    here = drawn(model, clipping_planes=(*point, *normal))
    there = drawn(
        model,
        world_to_clip=tuple((camera @ np.linalg.inv(actor)).ravel()),
        model_to_world=tuple(actor.ravel()),
        clipping_planes=(*moved_point, *moved_normal),
    )
    assert np.abs(here - there).max() <= 1
    assert np.abs(here - drawn(model)).max() > 3


def test_errors_are_for_users(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing):
        renderer.render(request(json.dumps({"file": str(tmp_path / "none.amgsrn"), "array": "density"})))
    for text in ("", "{}", "[1]", "nonsense"):
        with pytest.raises(NotAModelFile):
            renderer.render(request(text))
