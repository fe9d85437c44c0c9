# SPDX-License-Identifier: BSD-3-Clause
"""What the processes that learn bricks say when something goes wrong."""

from __future__ import annotations

import pickle
import traceback

import pytest

from trainer.ensemble.worker import _sendable
from trainer.errors import FitDiverged


class Awkward(Exception):
    """It cannot be pickled: its class wants more than its text."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def arrived(error: Exception) -> Exception:
    """The error at the other end of a connection."""
    try:
        raise error
    except Exception as caught:
        return pickle.loads(pickle.dumps(_sendable(caught)))


@pytest.mark.parametrize("error", [ValueError("broken"), Awkward(1, 2)])
def test_a_defect_says_where_it_happened(error: Exception) -> None:
    shown = "".join(traceback.format_exception(arrived(error)))
    assert str(error) in shown
    assert "in arrived" in shown


def test_what_the_user_can_put_right_is_one_line() -> None:
    error = FitDiverged(20, 3)
    assert str(arrived(error)) == str(error)
    assert not hasattr(arrived(error), "__notes__")
