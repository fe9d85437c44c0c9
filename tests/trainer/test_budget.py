# SPDX-License-Identifier: BSD-3-Clause
"""The part of a schedule that is done, by steps and by time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.budget import LEAST_STEPS, Budget


def test_steps_alone():
    budget = Budget(200, None)
    assert [budget.fraction(step, 1e9) for step in (0, 50, 200, 300)] == [0, 0.25, 1, 1]
    assert Budget(0, None).fraction(0, 0.0) == 1


def test_time_alone():
    budget = Budget(None, 8.0)
    assert [budget.fraction(1000, seconds) for seconds in (0, 2, 8, 9)] == [0, 0.25, 1, 1]


def test_whichever_ends_first():
    budget = Budget(1000, 10.0)
    assert budget.fraction(500, 1.0) == 0.5
    assert budget.fraction(100, 9.0) == 0.9


def test_no_time_at_all_still_gives_a_few_steps():
    for seconds in (1e-9, 0.0, -3.0):
        budget = Budget(None, seconds)
        assert budget.fraction(0, 5.0) == 0
        assert budget.fraction(LEAST_STEPS - 1, 5.0) == pytest.approx(1 - 1 / LEAST_STEPS)
        assert budget.fraction(LEAST_STEPS, 5.0) == 1
    assert Budget(10, 1e-9).fraction(10, 5.0) == 1, "fewer are made if fewer are wanted"


def test_a_schedule_needs_an_end():
    with pytest.raises(ValueError, match="without an end"):
        Budget(None, None)


@given(
    st.none() | st.integers(0, 1000),
    st.floats(0.001, 100),
    st.lists(st.tuples(st.integers(0, 100), st.floats(0, 10)), max_size=20),
)
def test_it_never_falls(steps, seconds, increments):
    budget, step, now, before = Budget(steps, seconds), 0, 0.0, 0.0
    for more_steps, more_seconds in increments:
        step, now = step + more_steps, now + more_seconds
        fraction = budget.fraction(step, now)
        assert before <= fraction <= 1
        before = fraction
