# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core import ArrayInfo, Axis, Domain, Field, open_field, save_field
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField, ConstantField, SeriesField
from amgsrn_core.storage import ModelHeader, part_of_field, series_description, step_prefix, write_tree

TIMES = (0.0, 1.0, 3.0, 10.0)
ARRAY = ArrayInfo("v", "K", (0.0, 1.0))
DOMAIN = Domain((Axis.uniform(3), Axis.uniform(4), Axis.uniform(5)), time=0.0, time_units="s", times=TIMES)
POINTS = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Ramp(Field):
    """height times x, in time step `height`."""

    def __init__(self, height: float) -> None:
        self.height, self.domain, self.array = height, DOMAIN, ARRAY

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        return self.height * points[:, :1]

    def sample_for_display(self, points: torch.Tensor) -> torch.Tensor:
        return self.sample(points) + 1000.0


class Loader:
    def __init__(self) -> None:
        self.loads: list[int] = []

    def __call__(self, step: int) -> Field:
        self.loads.append(step)
        return Ramp(float(step))


def series(memory: int = 1000, sizes: tuple[int, ...] = (1, 1, 1, 1)) -> tuple[SeriesField, Loader]:
    loader = Loader()
    return SeriesField(DOMAIN, ARRAY, torch.device("cpu"), sizes, loader, memory), loader


@pytest.mark.parametrize(
    ("time", "step"), [(-5.0, 0), (0.4, 0), (0.5, 0), (0.6, 1), (2.0, 1), (6.4, 2), (6.6, 3), (1e9, 3)]
)
def test_the_nearest_step_is_shown_and_no_other_is_read(time: float, step: int) -> None:
    field, loader = series()
    assert not loader.loads
    now = field.at(time)
    assert now.time == now.domain.time == TIMES[step]
    assert torch.equal(now.sample(POINTS), step * POINTS[:, :1])
    assert loader.loads == [step]


@given(st.floats(-1.0, 12.0), st.integers(0, 3))
def test_between_steps_values_change_linearly(time: float, other: int) -> None:
    field, _ = series()
    now = field.at(TIMES[other]).at(time, interpolate=True)
    inside = min(max(time, 0.0), 10.0)
    height = next(i + (inside - a) / (b - a) for i, (a, b) in enumerate(pairwise(TIMES)) if a <= inside <= b)
    assert now.time == inside
    torch.testing.assert_close(now.sample(POINTS), height * POINTS[:, :1])
    torch.testing.assert_close(now.sample_for_display(POINTS), height * POINTS[:, :1] + 1000.0)
    values, gradients = now.sample_with_gradient(POINTS)
    torch.testing.assert_close(values, height * POINTS[:, :1])
    torch.testing.assert_close(gradients[:, 0], torch.tensor([[height, 0.0, 0.0]]).expand(20, 3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("interpolate", [False, True])
def test_a_time_that_is_no_number_is_the_first_step(interpolate: bool) -> None:
    now = series()[0].at(3.0).at(float("nan"), interpolate)
    assert now.time == 0.0
    assert torch.equal(now.sample(POINTS), torch.zeros(20, 1))


def test_a_series_is_the_step_it_was_asked_for() -> None:
    field, _ = series()
    later = field.at(3.0)
    assert (field.time, later.time) == (0.0, 3.0)
    assert later.times == TIMES
    assert torch.equal(field.sample(POINTS), torch.zeros(20, 1))
    assert torch.equal(later.sample(POINTS), 2 * POINTS[:, :1])


def test_steps_stay_in_memory_as_long_as_there_is_room() -> None:
    field, loader = series(memory=5, sizes=(2, 2, 2, 2))
    for step in (0, 1, 0, 1, 2, 1, 0):
        assert field.step(step).sample(POINTS[:1]) == step * POINTS[0, 0]
    assert loader.loads == [0, 1, 2, 0]
    roomy, loader = series(memory=8, sizes=(2, 2, 2, 2))
    for step in (0, 1, 2, 3, 0, 1, 2, 3):
        roomy.at(TIMES[step]).sample(POINTS)
    assert loader.loads == [0, 1, 2, 3]


def test_two_steps_are_kept_even_if_each_is_too_large() -> None:
    field, loader = series(memory=1, sizes=(9, 9, 9, 9))
    now = field.at(0.5, interpolate=True)
    for _ in range(3):
        now.sample(POINTS)
    assert loader.loads == [0, 1]
    field.step(2)
    field.step(1)
    assert loader.loads == [0, 1, 2]


def test_steps_that_are_not_there() -> None:
    field, _ = series()
    for step in (-1, 4):
        with pytest.raises(IndexError):
            field.step(step)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Two networks and a step that is all gap, with ranges of their own."""
    config, domain = AMGSRNConfig(grids=2, resolution=(3, 3, 3), hidden=(4,)), Domain(DOMAIN.axes)
    first = AMGSRNField(AMGSRN(config, 0), domain, ArrayInfo("v", "K", (0.0, 5.0)))
    second = AMGSRNField(AMGSRN(config, 1), domain, ArrayInfo("v", "K", (-8.0, 1.0)))
    parts = [part_of_field(field) for field in (first, second, ConstantField(None, domain, ARRAY))]
    tree = series_description((1.0, 2.0, 3.0), [part.node for part in parts])
    header = ModelHeader(tree, domain, ArrayInfo("v", "K", (-8.0, 5.0)), {"psnr_db": 40.0})
    write_tree(tmp_path / "s.amgsrn", header, [(step_prefix(i), part.tensors) for i, part in enumerate(parts)])
    save_field(tmp_path / "0.amgsrn", first)
    save_field(tmp_path / "1.amgsrn", second)
    return tmp_path / "s.amgsrn"


def test_a_stored_series_gives_what_its_steps_gave(stored: Path) -> None:
    alone = [open_field(stored.with_name(f"{i}.amgsrn"), "cpu").sample(POINTS) for i in range(2)]
    field = open_field(stored, "cpu")
    assert (field.domain.times, field.domain.time) == ((1.0, 2.0, 3.0), 1.0)
    assert torch.equal(field.sample(POINTS), alone[0])
    assert torch.equal(open_field(stored, "cpu", time=2.2).sample(POINTS), alone[1])
    between = open_field(stored, "cpu", time=1.25, interpolate=True)
    assert between.domain.time == 1.25
    torch.testing.assert_close(between.sample(POINTS), 0.75 * alone[0] + 0.25 * alone[1])
    assert [open_field(stored, "cpu", time=t).has_gaps for t in (1.0, 2.0, 3.0)] == [False, False, True]
    assert open_field(stored, "cpu", time=2.5, interpolate=True).sample(POINTS).isnan().all()


def test_other_fields_are_the_same_at_all_times(stored: Path) -> None:
    alone = stored.with_name("0.amgsrn")
    assert torch.equal(open_field(alone, "cpu", time=7.0).sample(POINTS), open_field(alone, "cpu").sample(POINTS))
