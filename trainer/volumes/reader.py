# SPDX-License-Identifier: BSD-3-Clause
"""What a reader of one volume format does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import NoSuchTime, NoSuchVariable, NoVolumeInFile, TimeNotChosen, VariableNotChosen, VariableRepeated
from .layout import VolumeLayout
from .names import asked_for
from .region import Region
from .volume import Volume

Progress = Callable[[float], object]


@dataclass(frozen=True)
class VariableInfo:
    """A variable that could be learned.

    Attributes:
        name: as `VolumeReader.read` takes it.
        shape: [z, y, x]; of a mesh, that of the lattice it is resampled on, as far as it is known without reading it.
        steps: number of time steps; None for a variable without time.
        components: values per node.
    """

    name: str
    shape: tuple[int, int, int]
    steps: int | None
    components: int = 1


class VolumeReader(ABC):
    """An open file with volumes in it; closes itself as a context manager.

    Attributes:
        bytes_read: of values decoded so far, whole chunks.
    """

    bytes_read: int = 0

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @abstractmethod
    def variables(self) -> list[VariableInfo]:
        """The variables that are volumes, in the file's order."""

    @abstractmethod
    def layout(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> VolumeLayout:
        """Where the nodes are and how values are stored, without reading any.

        Args:
            variables, time: as for `read`; time may be left out where there are several steps, too.

        Raises:
            VolumeError: as `read`.
        """

    @abstractmethod
    def read(
        self,
        variables: str | Sequence[str] | None = None,
        time: int | None = None,
        region: Region | None = None,
        progress: Progress | None = None,
    ) -> Volume:
        """One volume or a part of it, read into memory once.

        Args:
            variables: their names, one or more, which become components; or one text, names separated by commas. May
                be left out where the file has only one.
            time: index of the time step, negative from the end; may be left out where there is only one.
            region: first and last node along x, y and z, both included, axes ascending; everything if None.
            progress: called with the finished fraction in (0, 1].

        Raises:
            VolumeError: no such variable or time, several to choose from, nothing valid in it, or a damaged file.
        """

    @abstractmethod
    def fingerprint(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> str:
        """A short hash that tells a volume from others without reading all of it: of its nodes and names, and of
        values in small blocks all over it. It does not depend on the file's name, place and date. A change between
        the blocks is not noticed: `Volume.fingerprint` is for volumes that are in memory."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _everything(self) -> dict[str, str]:
        """All names in the file, also of what is no volume, and how to describe each to the user."""
        return {info.name: info.name for info in self.variables()}

    def _chosen(self, variables: str | Sequence[str] | None) -> tuple[str, ...]:
        """The variables to read: those asked for, or the only one."""
        everything, candidates = self._everything(), [info.name for info in self.variables()]
        names = asked_for(variables, everything)
        for name in names:
            if name not in everything:
                raise NoSuchVariable(self._path, name, candidates or list(everything))
            if names.count(name) > 1:
                raise VariableRepeated(self._path, name)
        if names:
            return names
        if not candidates:
            raise NoVolumeInFile(self._path, list(everything.values()))
        if len(candidates) > 1:
            raise VariableNotChosen(self._path, candidates)
        return (candidates[0],)

    def _step(self, name: str, steps: int | None, time: int | None, must_choose: bool = True) -> int | None:
        """The time step to read; None for a variable without time, or where none has to be chosen."""
        if steps is None:
            # A single time step may have been stored without a time dimension.
            if time not in (None, 0, -1):
                raise NoSuchTime(self._path, name, int(time or 0), 0)
            return None
        if time is None:
            if steps != 1 and must_choose:
                raise TimeNotChosen(self._path, name, steps)
            return 0 if steps == 1 else None
        if not -steps <= time < steps:
            raise NoSuchTime(self._path, name, time, steps)
        return time % steps
