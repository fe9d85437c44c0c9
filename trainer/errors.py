# SPDX-License-Identifier: BSD-3-Clause
"""Every error a user can meet while training: one class each, one clear line each. What concerns model files is in
`amgsrn_core.errors`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from amgsrn_core.errors import AmgsrnError


class VolumeError(AmgsrnError):
    """Base of what can be wrong with the volume to learn."""


class VolumeFileMissing(VolumeError):
    """There is no such file, or it may not be read."""

    def __init__(self, path: str | Path, reason: str = "no such file") -> None:
        super().__init__(f"cannot open volume '{path}': {reason}")


class NotAVolumeFile(VolumeError):
    """The file is of a kind that no reader knows."""

    def __init__(self, path: str | Path, reason: str = "it does not start like one") -> None:
        super().__init__(
            f"'{path}' is not a volume of a known format ({reason}); give NetCDF (.nc), VTK (.vti, .vtr, .vts, .vtu, "
            ".vtk), Exodus (.ex2, .e), Zarr (a folder), GRIB (.grib2), or raw values (.raw, with --shape and --dtype)"
        )


class RawFormatMissing(VolumeError):
    """A file of nothing but numbers, of which nobody says what they are."""

    def __init__(self, path: str | Path, option: str) -> None:
        super().__init__(
            f"'{path}' holds raw values, and its name does not say which; give {option} "
            "(--shape X,Y,Z --dtype float32), or name it like name_256x256x256_float32.raw"
        )


class LibraryMissing(VolumeError):
    """A format needs a library that is not installed."""

    def __init__(self, path: str | Path, library: str, packages: str) -> None:
        super().__init__(
            f"reading '{path}' needs {library}, which is not installed; install it: pip install {packages}"
        )


class VolumeFileDamaged(VolumeError):
    """The file was a volume once, but part of it is missing or wrong."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"volume '{path}' is damaged or truncated ({reason}); copy it again")


class RawSizeWrong(VolumeFileDamaged):
    """A file of nothing but numbers that has more or fewer of them than was said, or than its name says."""

    def __init__(self, path: str | Path, found: int, said: str, expected: int) -> None:
        VolumeError.__init__(
            self,
            f"'{path}' has {found} bytes, {said} have {expected}; correct --shape, --dtype or --header-bytes, or copy it "
            "again if it is damaged",
        )


class NoVolumeInFile(VolumeError):
    """A readable file in which nothing is a volume."""

    def __init__(self, path: str | Path, variables: Sequence[str]) -> None:
        has = f"it has {_listed(variables)}" if variables else "it has no variables at all"
        super().__init__(f"'{path}' has no variable with three spatial dimensions; {has}")


class NoSuchVariable(VolumeError):
    """A variable was asked for that the file does not have."""

    def __init__(self, path: str | Path, name: str, candidates: Sequence[str]) -> None:
        super().__init__(f"'{path}' has no variable '{name}'; choose one of: {_listed(candidates)}")


class VariableRepeated(VolumeError):
    """A variable was asked for twice."""

    def __init__(self, path: str | Path, name: str) -> None:
        super().__init__(f"variable '{name}' of '{path}' is asked for twice; name each component once")


class VariableNotChosen(VolumeError):
    """The file has several volumes and none was asked for."""

    def __init__(self, path: str | Path, candidates: Sequence[str]) -> None:
        super().__init__(f"'{path}' has several variables, choose one with --variable: {_listed(candidates)}")


class NotAVolume(VolumeError):
    """A variable that is not a scalar volume on a grid."""

    def __init__(self, path: str | Path, variable: str, reason: str, candidates: Sequence[str] = ()) -> None:
        instead = f"; choose one of: {_listed(candidates)}" if candidates else ""
        super().__init__(f"variable '{variable}' of '{path}' is not a volume: {reason}{instead}")


class TimeNotChosen(VolumeError):
    """The variable has several time steps and none was asked for."""

    def __init__(self, path: str | Path, variable: str, steps: int) -> None:
        super().__init__(
            f"variable '{variable}' of '{path}' has {steps} time steps; "
            f"choose one with --time 0 to {steps - 1} (-1 is the last); fit --time all learns them all"
        )


class NoSuchTime(VolumeError):
    """A time step was asked for that the variable does not have."""

    def __init__(self, path: str | Path, variable: str, wanted: int, steps: int) -> None:
        has = (
            f"has {steps} time steps; choose 0 to {steps - 1} (-1 is the last)"
            if steps
            else "has no time steps; leave out --time"
        )
        super().__init__(f"--time {wanted}: variable '{variable}' of '{path}' {has}")


class NothingButMissing(VolumeError):
    """Every value of the volume is missing, so that there is nothing to learn."""

    def __init__(self, path: str | Path, variable: str) -> None:
        super().__init__(
            f"variable '{variable}' of '{path}' has no valid value: all are missing or not finite; choose other data"
        )


class VariablesDiffer(VolumeError):
    """Several variables were asked for that are not on the same nodes."""

    def __init__(self, path: str | Path, first: str, other: str) -> None:
        super().__init__(
            f"variables '{first}' and '{other}' of '{path}' are not on the same nodes; learn them one by one"
        )


class GridMoves(VolumeError):
    """A time step of a series is on other nodes than the steps before it."""

    def __init__(self, path: str | Path, first: int, other: int) -> None:
        super().__init__(
            f"the grid of '{path}' moves: time step {other} is not on the nodes of step {first}, as all steps of a series "
            f"have to be; learn steps one by one, --time {other}"
        )


class InvalidRegion(VolumeError):
    """A part of a volume that it does not have."""

    def __init__(self, region: Sequence[tuple[int, int]], dimensions: tuple[int, int, int]) -> None:
        text = ", ".join(f"{first} to {last}" for first, last in region)
        super().__init__(
            f"nodes {text} along x, y, z are not a part of {_times(dimensions)} nodes; give at least 2 along each axis"
        )


class CoordinatesUnusable(VolumeError):
    """A coordinate variable that does not order the nodes of its axis."""

    def __init__(self, path: str | Path, name: str, reason: str) -> None:
        super().__init__(
            f"coordinate variable '{name}' of '{path}' is {reason}; repair it, or remove it to count nodes instead"
        )


class ShapeMismatch(VolumeError):
    """A model is compared with a volume of another shape."""

    def __init__(self, model: str | Path, expected: tuple[int, ...], path: str | Path, found: tuple[int, ...]) -> None:
        super().__init__(
            f"model '{model}' was made from a volume of {_times(expected)} values, '{path}' has {_times(found)}; "
            "give the volume (and --variable, --time) it was made from"
        )


class ComponentMismatch(VolumeError):
    """A model is compared with a volume of more, or fewer, components."""

    def __init__(self, model: str | Path, expected: int, path: str | Path, found: int) -> None:
        super().__init__(
            f"model '{model}' has {expected} values per point, what was read of '{path}' has {found}; "
            "give the --variable (or the variables, separated by commas) that it was made from"
        )


class OutputExists(AmgsrnError):
    """What is to be written is there already, and is something else."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"'{path}' exists already ({reason}); give another name, or --overwrite to replace it")


class CheckpointMismatch(AmgsrnError):
    """An interrupted fit of another volume, or with other settings, is in the way."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(
            f"'{path}' is the checkpoint of another fit ({reason}); "
            "repeat that command to finish it, or --overwrite to start afresh"
        )


class OutputNotWritable(AmgsrnError):
    """A result cannot be written; whatever was there before is untouched."""

    def __init__(self, path: str | Path, reason: str, remedy: str = "choose another folder") -> None:
        super().__init__(f"cannot write '{path}': {reason}; {remedy}")


class InvalidOption(AmgsrnError):
    """An option has a value that makes no sense."""


class NoSuchModelTime(InvalidOption):
    """A time step was asked for that a model does not have."""

    def __init__(self, model: str | Path, wanted: int, steps: int) -> None:
        has = f"has {steps} time steps; choose 0 to {steps - 1} (-1 is the last)" if steps > 1 else "has no time steps"
        super().__init__(f"--time {wanted}: model '{model}' {has}")


class ModelTimeNotChosen(InvalidOption):
    """A series is to be compared and no time step was asked for."""

    def __init__(self, model: str | Path, steps: int) -> None:
        super().__init__(
            f"model '{model}' has {steps} time steps; choose one with --time 0 to {steps - 1} (-1 is the last)"
        )


class NoSuchComponent(InvalidOption):
    """A component was asked for that an array does not have."""

    def __init__(self, wanted: str, names: Sequence[str]) -> None:
        super().__init__(f"--component {wanted}: there is none of that name; choose one of: {_listed(names)}")


class TargetSizeTooSmall(InvalidOption):
    """No network fits into so few bytes."""

    def __init__(self, wanted: int, least: int) -> None:
        super().__init__(f"--target-size {wanted} is too small: the least for this volume is {least} bytes")
        self._wanted, self._least = wanted, least

    def of_parts(self, count: int) -> TargetSizeTooSmall:
        """The same for so many parts, each of which has the same share of the bytes."""
        return TargetSizeTooSmall(self._wanted * count, self._least * count)

    def of_a_brick(self) -> InvalidOption:
        """The same for a brick, which has only a part of the bytes."""
        return InvalidOption(
            f"the part of --target-size that a brick has, {self._wanted} bytes, is too small: the least for this one is "
            f"{self._least} bytes; give more, or fewer bricks"
        )


class FitDiverged(AmgsrnError):
    """The loss is not a number any more."""

    def __init__(self, step: int, brick: int | None = None) -> None:
        self.step, self.brick = step, brick
        where = f" of brick {brick}" if brick is not None else ""
        super().__init__(
            f"the fit{where} diverged at step {step}: its loss is not finite; try another --seed, or --recipe fast"
        )


class FitInterrupted(AmgsrnError):
    """The user stopped a fit; it can be resumed."""


class OutputBusy(AmgsrnError):
    """Another run is at work on the same output."""

    def __init__(self, path: str | Path, who: str) -> None:
        super().__init__(f"another run ({who}) is writing '{path}'; wait until it is done, or give another name")


class ResourceLost(AmgsrnError):
    """Something that a run needs and that was there has gone: nothing the user gave is wrong."""


class WorkersDied(ResourceLost):
    """One brick's worker died again and again."""

    def __init__(self, brick: int, times: int, reason: str) -> None:
        super().__init__(
            f"brick {brick} was given up: {times} processes in a row died learning it ({reason}); with too little memory "
            "give --max-memory or smaller bricks; finished bricks are kept, the same command goes on"
        )


class SchedulerUnavailable(AmgsrnError):
    """There is no Dask scheduler to give bricks to."""


class InputNotShared(AmgsrnError):
    """A worker on another machine cannot read the volume, or has other software."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(
            f"worker {worker} cannot learn bricks of this volume: {reason}; every worker needs the volume under the same "
            "path and the same version of this software"
        )


def _listed(names: Sequence[str], most: int = 40) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
