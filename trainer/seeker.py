# SPDX-License-Identifier: BSD-3-Clause
"""When a fit with a target may be good enough already.

A network gains one to three dB while its learning rate falls to nothing. So once an estimate is that close to the
target, the rate is let fall quickly (a cool-down) and the network measured. When it has missed, the rate is what the
schedule says again, and the next attempt waits until the estimate is closer.

Measured on two volumes after 500 to 3000 steps of 10 000: 1.2 to 1.6 dB in 100 steps, 1.6 to 2.8 dB in 300.
"""

from __future__ import annotations

from typing import Any

# Steps between two estimates. Cool-downs are a multiple of it.
LOOK_EVERY = 100
# Length of a cool-down: this part of the steps made since the network was new, and at least so many.
_PART, _LEAST = 0.1, 200
# What the first cool-down is taken to gain, dB.
_FIRST_GAIN = 1.5
# A cool-down that gains less than this, dB, is not worth its steps.
_LEAST_GAIN = 0.2
# Estimates err by this, dB: closer to the target only measuring tells.
_DOUBT = 0.1


class TargetSeeker:
    """Decides about cool-downs and measurements; numbers in, numbers out.

    Attributes:
        wants_measure: whether the network is to be measured now.

    Args:
        target_db: PSNR to reach.
        fall_start: the part of the schedule after which the rate falls; a cool-down begins no earlier in it.
    """

    def __init__(self, target_db: float, fall_start: float = 0.0) -> None:
        self._target, self._fall_start = target_db, fall_start
        self.wants_measure = False
        # Of the cool-down that runs: first step, the part of the schedule that was done then, length, first estimate.
        self._cooling: tuple[int, float, int, float] | None = None
        self._gain = _FIRST_GAIN
        self._not_before = 0
        # How much better measurements are than estimates.
        self._bias = 0.0
        self._estimate = 0.0

    def fraction(self, step: int, scheduled: float) -> float:
        """The part of the schedule to be taken for done in a step, which makes the learning rate."""
        if self._cooling is None:
            return scheduled
        start, begun, length, _ = self._cooling
        begun = max(begun, self._fall_start)
        return max(scheduled, begun + (1.0 - begun) * (step - start) / length)

    def look(self, step: int, made: int, scheduled: float, estimate_db: float) -> None:
        """Take an estimate into account, every LOOK_EVERY steps.

        Args:
            step: steps done.
            made: steps done with this network.
            scheduled: the part of the schedule that is done.
            estimate_db: PSNR now.
        """
        self._estimate = estimate_db
        now = estimate_db + self._bias
        if self._cooling is not None:
            start, _, length, before = self._cooling
            if now >= self._target + _DOUBT:
                self.wants_measure = True
            elif step >= start + length:
                self._gain = max(_LEAST_GAIN, estimate_db - before)
                self.wants_measure = now >= self._target - _DOUBT
                if not self.wants_measure:
                    self._warm_up(step)
        elif step >= self._not_before:
            if now >= self._target + _DOUBT:
                self.wants_measure = True
            elif now + self._gain >= self._target:
                length = max(_LEAST, LOOK_EVERY * round(_PART * made / LOOK_EVERY))
                self._cooling = (step, scheduled, length, estimate_db)

    def missed(self, step: int, measured_db: float) -> None:
        """Measured, and not good enough: go on as scheduled."""
        self.wants_measure = False
        self._bias = measured_db - self._estimate
        self._warm_up(step)

    def next_network(self) -> None:
        """A larger network begins; what is known about estimates stays."""
        self.wants_measure = False
        self._cooling, self._gain, self._not_before = None, _FIRST_GAIN, 0

    def state(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {
            "wants_measure": self.wants_measure,
            "cooling": None if self._cooling is None else list(self._cooling),
            "gain": self._gain,
            "not_before": self._not_before,
            "bias": self._bias,
            "estimate": self._estimate,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.wants_measure = bool(state["wants_measure"])
        self._cooling = None
        if state["cooling"] is not None:
            start, begun, length, before = state["cooling"]
            self._cooling = (int(start), float(begun), int(length), float(before))
        self._gain, self._not_before = float(state["gain"]), int(state["not_before"])
        self._bias, self._estimate = float(state["bias"]), float(state["estimate"])

    def _warm_up(self, step: int) -> None:
        if self._cooling is not None:
            self._not_before = step + self._cooling[2]
        self._cooling = None
