# SPDX-License-Identifier: BSD-3-Clause
"""Reading volumes whose nodes are those of a mesh."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from .layout import VolumeLayout
from .meshed import MeshedVariables
from .reader import Progress, VolumeReader
from .region import Region
from .volume import Volume


class MeshReader(VolumeReader):
    """An open file with a mesh. All of a variable is read, whatever part is asked for, and kept for the next call."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._latest: tuple[object, MeshedVariables] | None = None

    @abstractmethod
    def _meshed(self, names: tuple[str, ...], time: int | None, must_choose: bool) -> MeshedVariables:
        """Variables that the file has, at a time, or, where none is given and none has to be chosen, at any."""

    def layout(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> VolumeLayout:
        return self._kept(variables, time, must_choose=False).layout()

    def read(
        self,
        variables: str | Sequence[str] | None = None,
        time: int | None = None,
        region: Region | None = None,
        progress: Progress | None = None,
    ) -> Volume:
        return self._kept(variables, time).volume(region, progress)

    def fingerprint(self, variables: str | Sequence[str] | None = None, time: int | None = None) -> str:
        return self._kept(variables, time).fingerprint()

    def _kept(
        self, variables: str | Sequence[str] | None, time: int | None, must_choose: bool = True
    ) -> MeshedVariables:
        key = names, _ = (self._chosen(variables), time)
        kept = self._latest[1] if self._latest is not None and self._latest[0] == key else None
        # What was read of several steps, none of them chosen, does where none has to be.
        if kept is None or (must_choose and kept.step is None and kept.steps is not None):
            kept = self._meshed(names, time, must_choose)
            self._latest = (key, kept)
        return kept
