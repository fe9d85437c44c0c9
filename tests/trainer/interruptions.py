# SPDX-License-Identifier: BSD-3-Clause
"""Fits that are interrupted at a known moment."""

from __future__ import annotations

import itertools

import pytest

from trainer.interrupts import Interrupts


def interrupt_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Make fits be interrupted when they have asked more than so many times, once a step of training."""
    asked = itertools.count(1)

    class Later(Interrupts):
        requested = property(lambda self: next(asked) > looks, lambda self, value: None)

    monkeypatch.setattr("trainer.fit.Interrupts", Later)
