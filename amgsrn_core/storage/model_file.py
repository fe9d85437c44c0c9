# SPDX-License-Identifier: BSD-3-Clause
"""The .amgsrn format: one safetensors file whose metadata key `amgsrn` is JSON. Nothing in it is ever executed.

The JSON has `format_version`, `architecture` (`type` names the model), `domain`, `array` and `training`. Tensors are
read when asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..domain import Domain
from ..errors import InvalidDomain, ModelFileDamaged, ModelFileMissing, ModelFileTooNew, NotAModelFile
from ..field import ArrayInfo
from .atomic import write_atomically

FORMAT_VERSION = 1
SUFFIX = ".amgsrn"
_METADATA_KEY = "amgsrn"
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class ModelHeader:
    """What a model file says about itself, without its tensors.

    Attributes:
        architecture: the model's size; `type` names the model.
        domain: where the field lives.
        array: what its values are.
        training: how it was made and the errors measured then; JSON-ready, free form.
    """

    architecture: dict[str, Any]
    domain: Domain
    array: ArrayInfo
    training: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text stored in the file."""
        content = {
            "format_version": FORMAT_VERSION,
            "architecture": self.architecture,
            "domain": self.domain.to_dict(),
            "array": self.array.to_dict(),
            "training": self.training,
        }
        return json.dumps(content, allow_nan=False)


def encode_model(header: ModelHeader, tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The content of a model file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(contiguous, metadata={_METADATA_KEY: header.to_json()})


def write_model(path: str | Path, header: ModelHeader, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a model, all or nothing.

    Raises:
        ModelNotWritable: no such folder, not allowed, or no space; what was there before is untouched.
    """
    write_atomically(path, encode_model(header, tensors))


def read_header(path: str | Path) -> ModelHeader:
    """Read what a model says about itself; cheap, whatever the model's size.

    Raises:
        ModelFileMissing, NotAModelFile, ModelFileDamaged, ModelFileTooNew: each with a line saying what to do.
    """
    with _open(path) as file:
        return _parse(path, (file.metadata() or {}).get(_METADATA_KEY))


def read_tensors(
    path: str | Path, expected: Mapping[str, tuple[int, ...]], device: torch.device
) -> dict[str, torch.Tensor]:
    """Read tensors by name onto a device, as float32 whatever float type the file has.

    Raises:
        ModelFileDamaged: one is missing, has another shape or type than expected, or holds values that are not finite.
    """
    tensors = {}
    with _open(path) as file:
        names = set(file.keys())
        for name, shape in expected.items():
            if name not in names:
                raise ModelFileDamaged(path, f"tensor '{name}' is missing")
            found = tuple(file.get_slice(name).get_shape())
            if found != shape:
                raise ModelFileDamaged(path, f"tensor '{name}' has shape {found}, expected {shape}")
            tensor = file.get_tensor(name)
            if not tensor.dtype.is_floating_point:
                raise ModelFileDamaged(path, f"tensor '{name}' has type {tensor.dtype}, expected a float type")
            tensor = tensor.to(torch.float32)
            if not bool(torch.isfinite(tensor).all()):
                raise ModelFileDamaged(path, f"tensor '{name}' holds values that are not finite")
            tensors[name] = tensor.to(device)
    return tensors


def _open(path: str | Path) -> Any:
    file = Path(path)
    if not file.exists():
        raise ModelFileMissing(path)
    if not file.is_file():
        raise ModelFileMissing(path, "not a file")
    try:
        _check_container(file)
        return safetensors.safe_open(file, framework="pt", device="cpu")
    except OSError as error:
        raise ModelFileMissing(path, error.strerror or str(error)) from error
    except safetensors.SafetensorError as error:
        raise ModelFileDamaged(path, str(error)) from error


def _check_container(file: Path) -> None:
    """Tell a damaged model from some other file before safetensors is asked, whose messages do not."""
    size = os.path.getsize(file)
    with file.open("rb") as stream:
        start = stream.read(_LENGTH_BYTES + 1)
        if not start:
            raise ModelFileDamaged(file, "the file is empty")
        length = int.from_bytes(start[:_LENGTH_BYTES], "little")
        if len(start) <= _LENGTH_BYTES or start[_LENGTH_BYTES:] != b"{" or length > 10**8:
            raise NotAModelFile(file, "no safetensors header")
        if _LENGTH_BYTES + length > size:
            raise ModelFileDamaged(file, f"truncated: {size} bytes, its header alone needs {_LENGTH_BYTES + length}")
        try:
            header = json.loads(start[_LENGTH_BYTES:] + stream.read(length - 1))
        except ValueError as error:
            raise NotAModelFile(file, "no safetensors header") from error
    ends = [
        entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__" and "data_offsets" in entry
    ]
    expected = _LENGTH_BYTES + length + max(ends, default=0)
    if size < expected:
        raise ModelFileDamaged(file, f"truncated: {size} of {expected} bytes")


def _parse(path: str | Path, text: str | None) -> ModelHeader:
    if text is None:
        raise NotAModelFile(path, "a safetensors file of something else")
    try:
        content = json.loads(text)
        version = int(content["format_version"])
        if version > FORMAT_VERSION:
            raise ModelFileTooNew(path, version, FORMAT_VERSION)
        return ModelHeader(
            dict(content["architecture"]),
            Domain.from_dict(content["domain"]),
            ArrayInfo.from_dict(content["array"]),
            dict(content.get("training", {})),
        )
    except (ValueError, KeyError, TypeError, InvalidDomain) as error:
        raise ModelFileDamaged(path, f"unreadable description: {error!r}") from error
