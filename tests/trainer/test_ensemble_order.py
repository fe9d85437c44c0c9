# SPDX-License-Identifier: BSD-3-Clause
"""Who does which brick when, and bricks that one worker learns at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from brick_runs import header_of, write_volume

from amgsrn_core import open_field
from amgsrn_core.partition import Partition
from trainer.ensemble.assembly import Figures
from trainer.ensemble.job import fit_brick
from trainer.ensemble.order import MOST_DEATHS, BrickQueue
from trainer.ensemble.task import BrickTask
from trainer.ensemble.together import can_learn_together, fit_together
from trainer.errors import FitInterrupted, WorkersDied
from trainer.interrupts import Interrupts
from trainer.settings import FitSettings

PARTITION = Partition.equal_split((40, 30, 20), (2, 2, 1), 1.0)


def test_a_brick_waits_until_its_lower_neighbours_are_read():
    order = BrickQueue(PARTITION, range(4), patient=True)
    assert order.next() == [0]
    assert order.next() == []
    order.read(0)
    # Brick 2 does not need brick 1.
    assert (order.next(), order.next(), order.next()) == ([1], [2], [])
    order.read(1)
    assert order.next() == []
    order.read(2)
    assert order.next() == [3]
    for brick in range(4):
        assert not order.empty
        order.done(brick)
    assert order.empty


def test_a_group_is_read_by_one_worker():
    order = BrickQueue(PARTITION, range(4), patient=True)
    assert order.next(3) == [0, 1, 2]
    assert order.next(3) == []
    order.read(1)
    order.read(2)
    assert order.next(3) == [3]


def test_nobody_waits_where_nothing_is_shared():
    order = BrickQueue(PARTITION, [3, 1], patient=False)
    assert order.next(4) == [1, 3]


def test_lost_bricks_are_next_until_too_many_have_died():
    order = BrickQueue(PARTITION, range(4), patient=True)
    for _ in range(MOST_DEATHS - 1):
        assert order.next() == [0]
        order.lost(0, "killed by signal 9")
    assert order.next() == [0]
    with pytest.raises(WorkersDied, match=r"brick 0 was given up: 3 processes .* \(killed by signal 9\)"):
        order.lost(0, "killed by signal 9")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    volume = write_volume(tmp_path_factory.mktemp("volume") / "volume.nc")
    partition = Partition.equal_split((40, 30, 20), (2, 2, 1), (1.0, 1.0, 0.0))
    settings = FitSettings.of(steps=60, batch=500, placement="identity")
    return [
        BrickTask(k, str(volume), ("density",), None, None, partition, settings, checkpoint_interval=1e9)
        for k in range(4)
    ]


def test_bricks_learned_at_the_same_time_are_as_good_as_alone(tmp_path, tasks):
    read, told = [], []
    outputs = [tmp_path / f"{task.brick}.amgsrn" for task in tasks]
    together = fit_together(
        tasks, outputs, Interrupts(), when_read=read.append, watch=lambda done, loss: told.append(done)
    )
    alone = [fit_brick(task, tmp_path / "alone.amgsrn", Interrupts()) for task in tasks]
    assert read == [0, 1, 2, 3]
    assert told[-1] == 1.0
    for one, other, output in zip(together, alone, outputs, strict=True):
        assert (one.brick, one.kind, one.valid, one.counted) == (other.brick, other.kind, other.valid, other.counted)
        assert (one.ranges, one.fingerprint, one.parameters) == (other.ranges, other.fingerprint, other.parameters)
        assert one.rmse == pytest.approx(other.rmse, rel=0.2)
        assert header_of(output)["architecture"]["type"] == one.kind
        assert bool(torch.isfinite(open_field(output, "cpu").sample(torch.zeros(1, 3))).all())
    names = ("density",)
    assert Figures.of(together, names).psnr_db == pytest.approx(Figures.of(alone, names).psnr_db, abs=2.0)


def test_learning_together_can_be_interrupted(tmp_path, tasks):
    interrupts = Interrupts()
    interrupts.requested = True
    with pytest.raises(FitInterrupted):
        fit_together(tasks[:2], [tmp_path / "0", tmp_path / "1"], interrupts)
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        ({}, True),
        ({"recipe": "paper"}, False),
        ({"placement": "density"}, False),
        ({"target_psnr": 40.0}, False),
        ({"target_size": 10**6}, False),
        ({"time_budget": 10.0}, False),
    ],
)
def test_what_can_be_learned_together(options, possible):
    assert can_learn_together(FitSettings.of(**options)) is possible
