# SPDX-License-Identifier: BSD-3-Clause
"""The .amgsrn format: one safetensors file whose metadata key `amgsrn` is JSON. Nothing in it is ever executed.

The JSON has `format_version`, `architecture` (a tree, see `tree`), `domain`, `array` and `training`. Tensors are
read when asked for. Format version 1 is one network with one component and no gaps; other fields have version 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ..domain import Domain
from ..errors import InvalidDomain, ModelFileDamaged, ModelFileTooNew, NotAModelFile
from ..field import ArrayInfo
from .atomic import write_atomically
from .container import TensorFile
from .tree import Node, SeriesNode, needs_version_2, parse_tree

# The newest that can be read.
FORMAT_VERSION = 2
SUFFIX = ".amgsrn"
METADATA_KEY = "amgsrn"


@dataclass(frozen=True)
class ModelHeader:
    """What a model file says about itself, without its tensors.

    Attributes:
        architecture: the tree of what the model is made of, see `tree`.
        domain: where the field lives.
        array: what its values are.
        training: how it was made and the errors measured then; JSON-ready, free form.
    """

    architecture: dict[str, Any]
    domain: Domain
    array: ArrayInfo
    training: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def tree(self) -> Node:
        """What the model is made of.

        Raises:
            ValueError: `architecture` describes nothing.
        """
        return parse_tree(self.architecture, self.domain, self.array)

    def to_json(self) -> str:
        """The text stored in the file."""
        content = {
            "format_version": 2 if needs_version_2(self.architecture, self.array) else 1,
            "architecture": self.architecture,
            "domain": self.domain.to_dict(),
            "array": self.array.to_dict(),
            "training": self.training,
        }
        return json.dumps(content, allow_nan=False)


def encode_model(header: ModelHeader, tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The content of a model file."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(contiguous, metadata={METADATA_KEY: header.to_json()})


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
    with TensorFile(path) as file:
        return header_of(file)


def header_of(file: TensorFile) -> ModelHeader:
    """What an open model says about itself; see `read_header` for errors."""
    text = file.metadata.get(METADATA_KEY)
    if text is None:
        raise NotAModelFile(file.path, "a safetensors file of something else")
    try:
        content = json.loads(text)
        version = int(content["format_version"])
        if version > FORMAT_VERSION:
            raise ModelFileTooNew(file.path, version, FORMAT_VERSION)
        header = ModelHeader(
            dict(content["architecture"]),
            Domain.from_dict(content["domain"]),
            ArrayInfo.from_dict(content["array"]),
            dict(content.get("training", {})),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, InvalidDomain) as error:
        raise ModelFileDamaged(file.path, f"unreadable description: {error!r}"[:300]) from error
    try:
        tree = header.tree
    except ValueError as error:
        raise ModelFileDamaged(file.path, str(error)) from error
    # The tree alone tells whether there are steps.
    times = tree.times if isinstance(tree, SeriesNode) else ()
    return header if header.domain.times == times else replace(header, domain=replace(header.domain, times=times))


def read_tensors(
    path: str | Path, expected: Mapping[str, tuple[int, ...]], device: torch.device
) -> dict[str, torch.Tensor]:
    """Read tensors by name onto a device, as float32 whatever float type the file has.

    Raises:
        ModelFileDamaged: one is missing, has another shape or type than expected, or holds values that are not finite.
    """
    with TensorFile(path) as file:
        return tensors_of(file, expected, device)


def tensors_of(
    file: TensorFile, expected: Mapping[str, tuple[int, ...]], device: torch.device, owner: str = ""
) -> dict[str, torch.Tensor]:
    """The same from an open file; `owner` tells in messages whose tensors they are."""
    check_shapes(file, expected, owner)
    tensors = {}
    for name in expected:
        tensor = file.read(name)
        if not tensor.dtype.is_floating_point:
            raise ModelFileDamaged(file.path, f"{_of(name, owner)} has type {tensor.dtype}, expected a float type")
        tensor = tensor.to(torch.float32)
        if not bool(torch.isfinite(tensor).all()):
            raise ModelFileDamaged(file.path, f"{_of(name, owner)} holds values that are not finite")
        tensors[name] = tensor.to(device)
    return tensors


def check_shapes(file: TensorFile, expected: Mapping[str, tuple[int, ...]], owner: str = "") -> None:
    """Make sure that tensors are in a file, in their shapes, without reading them.

    Raises:
        ModelFileDamaged: one is not.
    """
    for name, shape in expected.items():
        if name not in file.entries:
            raise ModelFileDamaged(file.path, f"{_of(name, owner)} is missing")
        found = file.entries[name].shape
        if found != shape:
            raise ModelFileDamaged(file.path, f"{_of(name, owner)} has shape {found}, expected {shape}")


def _of(tensor: str, owner: str) -> str:
    return f"{owner}: tensor '{tensor}'" if owner else f"tensor '{tensor}'"
