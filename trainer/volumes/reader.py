# SPDX-License-Identifier: BSD-3-Clause
"""What a reader of one volume format does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .volume import Volume


@dataclass(frozen=True)
class VariableInfo:
    """A variable that could be learned.

    Attributes:
        name: as `VolumeReader.read` takes it.
        shape: [z, y, x].
        steps: number of time steps; None for a variable without time.
    """

    name: str
    shape: tuple[int, int, int]
    steps: int | None


class VolumeReader(ABC):
    """An open file with volumes in it; closes itself as a context manager."""

    @abstractmethod
    def variables(self) -> list[VariableInfo]:
        """The variables that are volumes, in the file's order."""

    @abstractmethod
    def read(
        self, variable: str | None = None, time: int | None = None, progress: Callable[[float], object] | None = None
    ) -> Volume:
        """One volume, read into memory once.

        Args:
            variable: its name; may be left out where the file has only one.
            time: index of the time step, negative from the end; may be left out where there is only one.
            progress: called with the finished fraction in (0, 1].

        Raises:
            VolumeError: no such variable or time, several to choose from, nothing valid in it, or a damaged file.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
