# SPDX-License-Identifier: BSD-3-Clause
"""Whatever learns bricks: processes of this machine, or a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from .task import BrickSummary, BrickTask


@dataclass(frozen=True)
class Event:
    """Something that has happened to a brick.

    Attributes:
        kind: 'started'; 'read' (the file is not needed any more); 'progress'; 'done'; 'lost' (its worker died, it has to
            be done again); 'redone' (the same, but whoever tells has seen to it); 'failed' (with an error).
        brick: which.
        worker: who.
        fraction, loss: of a 'progress', see `FitOptions.watch`.
        summary: of a brick that is done.
        content: its model file, where it is not in the parts folder yet.
        error: that the brick failed with, or a text that tells how the worker died.
    """

    kind: str
    brick: int
    worker: str = ""
    fraction: float = 0.0
    loss: float | None = None
    summary: BrickSummary | None = None
    content: bytes | None = None
    error: BaseException | str | None = None


class Runner(ABC):
    """Learns bricks, several at a time; a context manager that ends what is going on.

    Attributes:
        shares_layers: whether a brick finds what its lower neighbours have read, if they have read before it.
        together: how many bricks one worker learns at the same time.
    """

    shares_layers = False
    together = 1

    @abstractmethod
    def free(self) -> int:
        """How many groups of bricks it takes now."""

    @abstractmethod
    def submit(self, tasks: Sequence[BrickTask]) -> None:
        """Give it a group of bricks, `together` at most."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Event]:
        """What has happened; waits until there is something, but not longer than that."""

    @abstractmethod
    def stop(self, gently: bool) -> None:
        """End all that is going on.

        Args:
            gently: let fits write checkpoints first, where they can.
        """

    @abstractmethod
    def processes(self) -> list[int]:
        """Numbers of the processes of this machine that work for it."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Who works, JSON-ready."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop(gently=False)
