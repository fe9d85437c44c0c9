# SPDX-License-Identifier: BSD-3-Clause
"""When a fit with a target cools down, and when it is measured."""

from __future__ import annotations

import json

import pytest

from trainer.seeker import TargetSeeker


def test_nothing_happens_far_from_the_target():
    seeker = TargetSeeker(40)
    for step in range(100, 1001, 100):
        seeker.look(step, step, step / 10_000, 30.0)
        assert not seeker.wants_measure
        assert seeker.fraction(step, step / 10_000) == step / 10_000


def test_close_to_the_target_the_rate_falls_to_nothing():
    seeker = TargetSeeker(40)
    seeker.look(3000, 3000, 0.3, 38.6)
    # A tenth of the steps made.
    assert [seeker.fraction(step, step / 10_000) for step in (3000, 3150, 3300)] == pytest.approx([0.3, 0.65, 1.0])
    seeker.look(3100, 3100, 0.31, 39.4)
    assert not seeker.wants_measure
    seeker.look(3200, 3200, 0.32, 40.2)
    assert seeker.wants_measure


def test_a_cool_down_does_not_wait_for_the_rate_to_fall():
    seeker = TargetSeeker(40, fall_start=0.4)
    assert seeker.fraction(2000, 0.2) == 0.2
    seeker.look(2000, 2000, 0.2, 38.6)
    assert [seeker.fraction(step, step / 10_000) for step in (2000, 2100, 2200)] == pytest.approx([0.4, 0.7, 1.0])


def test_a_cool_down_that_misses_is_learned_from():
    seeker = TargetSeeker(40)
    seeker.look(1000, 1000, 0.1, 38.6)
    seeker.look(1100, 1100, 0.11, 38.8)
    seeker.look(1200, 1200, 0.12, 39.1)
    assert not seeker.wants_measure
    assert seeker.fraction(1200, 0.12) == 0.12, "the schedule goes on where it was"
    # It had gained half a dB in 200 steps: for so long nothing is tried, and then only closer to the target.
    for step, estimate in ((1300, 39.8), (1400, 39.4)):
        seeker.look(step, step, step / 10_000, estimate)
        assert seeker.fraction(step, step / 10_000) == step / 10_000
    seeker.look(1500, 1500, 0.15, 39.6)
    assert seeker.fraction(1600, 0.16) > 0.5


def test_a_measurement_that_misses_corrects_the_estimates():
    seeker = TargetSeeker(40)
    seeker.look(100, 100, 0.01, 40.2)
    assert seeker.wants_measure
    seeker.missed(100, 39.7)
    assert not seeker.wants_measure
    seeker.look(200, 200, 0.02, 40.4)
    assert not seeker.wants_measure, "that would be 39.9 dB"
    seeker.look(300, 300, 0.03, 40.8)
    assert seeker.wants_measure


def test_a_larger_network_starts_over_with_what_is_known_of_estimates():
    seeker = TargetSeeker(40)
    seeker.look(1000, 1000, 0.1, 39.0)
    seeker.missed(1000, 38.5)
    seeker.next_network()
    assert seeker.fraction(1000, 0.0) == 0.0
    seeker.look(1100, 100, 0.01, 40.5)
    assert not seeker.wants_measure
    seeker.look(1200, 200, 0.02, 40.61)
    assert seeker.wants_measure


def test_state_survives_being_saved():
    estimates = [30, 38.7, 38.9, 39.0, 39.2, 39.9, 39.9, 39.95, 40.2, 40.0, 40.3]
    for cut in range(len(estimates)):
        one, two = TargetSeeker(40), TargetSeeker(40)
        for k, estimate in enumerate(estimates):
            if k == cut:
                two.restore(json.loads(json.dumps(one.state())))
            for seeker in (one, two) if k >= cut else (one,):
                seeker.look(100 * k, 100 * k, k / 100, estimate)
                if seeker.wants_measure:
                    seeker.missed(100 * k, estimate - 0.2)
        assert one.state() == two.state()
