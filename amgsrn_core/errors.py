# SPDX-License-Identifier: BSD-3-Clause
"""Every error a user can meet in fields and model files: one class each, one clear line each.

A message says what was wrong, where, and what to do. Commands print it without a traceback; ParaView shows it in
Output Messages.
"""

from __future__ import annotations

from pathlib import Path


class AmgsrnError(Exception):
    """Base of all errors that the user, not the program, can put right."""


class Aborted(AmgsrnError):
    """The user stopped a long computation; nothing is wrong."""


class InvalidDomain(AmgsrnError):
    """Coordinates that do not describe a volume: too few, not ascending, not finite."""


class InvalidPartition(AmgsrnError):
    """Bricks that do not make up a volume: edges that do not ascend through it, or too much overlap."""


class DeviceUnavailable(AmgsrnError):
    """A device was asked for that this machine does not have."""

    def __init__(self, device: str, available: list[str]) -> None:
        super().__init__(f"device '{device}' is not available here; choose one of: {', '.join(available)}")


class KernelsUnavailable(AmgsrnError):
    """An environment variable asks for a back end, or an instruction set, that cannot be used."""

    def __init__(self, wanted: str, reason: str, variable: str = "AMGSRN_KERNELS") -> None:
        super().__init__(f"{variable}={wanted} cannot be used: {reason}")


class InvalidSetting(AmgsrnError):
    """An environment variable has a value that means nothing."""

    def __init__(self, variable: str, value: str, remedy: str) -> None:
        super().__init__(f"{variable}={value} cannot be used: {remedy}")


class NotEnoughMemory(AmgsrnError):
    """A request needs more memory than there is; nothing was allocated."""

    def __init__(self, what: str, needed: int, available: int, remedy: str) -> None:
        super().__init__(f"{what} needs {_gib(needed)}, but {_gib(available)} are available; {remedy}")


class InvalidTransferFunction(AmgsrnError):
    """A colour map or opacity function that cannot be used."""


class ModelFileError(AmgsrnError):
    """Base of what can be wrong with a model file."""


class ModelFileMissing(ModelFileError):
    """There is no such file, or it may not be read."""

    def __init__(self, path: str | Path, reason: str = "no such file") -> None:
        super().__init__(f"cannot open model '{path}': {reason}")


class NotAModelFile(ModelFileError):
    """The file is something else than an .amgsrn model."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"'{path}' is not an .amgsrn model ({reason}); models are made by 'python -m trainer fit'")


class ModelFileDamaged(ModelFileError):
    """The file was an .amgsrn model once, but part of it is missing or wrong."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"model '{path}' is damaged ({reason}); copy it again or fit it anew")


class ModelFileTooNew(ModelFileError):
    """The file was written by a newer version of this software."""

    def __init__(self, path: str | Path, found: int, supported: int) -> None:
        super().__init__(
            f"model '{path}' has format version {found}, this software reads up to {supported}; update the software"
        )


class ModelNotWritable(ModelFileError):
    """A model could not be written; whatever was there before is untouched."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"cannot write '{path}': {reason}; free some space or choose another folder")


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**27 else f"{count / 2**20:.1f} MiB"
