# SPDX-License-Identifier: BSD-3-Clause
"""One file out of many: bricks or time steps, copied without being decoded, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelFileDamaged
from .atomic import atomic_path
from .container import MemoryTensor, StoredTensor, TensorFile, write_container
from .fields import StorableField, leaf_shapes, stored_field
from .model_file import METADATA_KEY, ModelHeader, header_of
from .tree import LeafNode, Node, brick_prefix


@dataclass(frozen=True)
class Part:
    """What is to become a member of a larger field.

    Attributes:
        node: JSON-ready, for the `members` of an ensemble or a series; independent of the array's ranges.
        tensors: by name, without a prefix.
    """

    node: dict[str, Any]
    tensors: Mapping[str, StoredTensor]


def part_of(path: str | Path) -> Part:
    """A model file as a member; its tensors are read when they are copied. What else the file holds is left out.

    Raises:
        ModelFileError: see `read_header`; also a tensor is missing.
    """
    with TensorFile(path) as file:
        header = header_of(file)
        names = _tensor_names(header.tree)
        missing = next((name for name in names if name not in file.entries), None)
        if missing is not None:
            raise ModelFileDamaged(path, f"tensor '{missing}' is missing")
        tensors = {name: file.stored(name) for name in names}
    return Part(_with_scaling(header.architecture, header), tensors)


def part_of_field(field: StorableField, half: bool = False) -> Part:
    """A field in memory as a member; for `half` see `save_field`."""
    node, tensors = stored_field(field, half)
    header = ModelHeader(node, field.domain, field.array)
    return Part(_with_scaling(node, header), {name: MemoryTensor(tensor) for name, tensor in tensors.items()})


def share_masks(steps: Iterable[Part]) -> list[Part]:
    """Time steps that use the masks of earlier ones where theirs are the same."""
    owners: dict[tuple[str, str, bytes], int] = {}
    return [_sharing(step, i, owners) for i, step in enumerate(steps)]


def write_tree(path: str | Path, header: ModelHeader, parts: Iterable[tuple[str, Mapping[str, StoredTensor]]]) -> None:
    """Write a model out of parts, all or nothing, in memory for one piece of a tensor.

    Args:
        path: the file.
        header: whose `architecture` has the parts' nodes, see `ensemble_description` and `series_description`.
        parts: prefix, such as 'brick7.' or 'step3.', and tensors of each.

    Raises:
        ValueError: the tensors are not those that the architecture needs.
        ModelNotWritable: no such folder, not allowed, or no space; what was there before is untouched.
        ModelFileError: a part cannot be read any more.
    """
    tensors = [(prefix + name, tensor) for prefix, members in parts for name, tensor in members.items()]
    _check(header.tree, {name: tensor.shape for name, tensor in tensors})
    with atomic_path(path) as temporary:
        write_container(temporary, {METADATA_KEY: header.to_json()}, tensors)


def _tensor_names(tree: Node) -> list[str]:
    names: list[str] = []
    for node in tree.walk():
        if isinstance(node, LeafNode):
            names += leaf_shapes(node)
            names += [f"{node.prefix}mask"] if node.mask_prefix == node.prefix else []
    return names


def _check(tree: Node, shapes: Mapping[str, tuple[int, ...]]) -> None:
    expected = set(_tensor_names(tree))
    for name in sorted(expected ^ shapes.keys()):
        raise ValueError(f"tensor '{name}' is {'missing' if name in expected else 'not part of the architecture'}")
    for node in tree.walk():
        for name, shape in (leaf_shapes(node) if isinstance(node, LeafNode) else {}).items():
            if shapes[name] != shape:
                raise ValueError(f"tensor '{name}' has shape {shapes[name]}, expected {shape}")


def _with_scaling(node: dict[str, Any], header: ModelHeader) -> dict[str, Any]:
    """The node with all networks' scaling written out, since the array of a larger field has other ranges."""
    members = {"members": [_with_scaling(member, header) for member in node["members"]]} if "members" in node else {}
    scaling = {"scaling": [list(ends) for ends in header.array.ranges]} if node["type"] == "amgsrn" else {}
    return {**scaling, **node, **members}


def _sharing(step: Part, index: int, owners: dict[tuple[str, str, bytes], int]) -> Part:
    """A step without the masks that earlier steps have; `owners` tells, and learns, which step has which mask.

    The same bytes can be masks of different boxes, where steps have bricks of their own.
    """
    cuts = repr([step.node.get(key) for key in ("edges", "overlap")])
    masks = {name: _digest(tensor) for name, tensor in step.tensors.items() if _is_mask(name)}
    owned = {name: owners.setdefault((name, cuts, digest), index) for name, digest in masks.items()}
    shared = {name: owner for name, owner in owned.items() if owner != index}
    node = _with_shared_masks(step.node, "", shared)
    return Part(node, {name: tensor for name, tensor in step.tensors.items() if name not in shared})


def _with_shared_masks(node: dict[str, Any], prefix: str, shared: Mapping[str, int]) -> dict[str, Any]:
    if "members" in node:
        members = [_with_shared_masks(m, prefix + brick_prefix(k), shared) for k, m in enumerate(node["members"])]
        return {**node, "members": members}
    name = f"{prefix}mask"
    return {**node, "mask": {"same_as": shared[name]}} if name in shared else node


def _is_mask(name: str) -> bool:
    return name.rpartition(".")[2] == "mask"


def _digest(tensor: StoredTensor) -> bytes:
    digest = hashlib.blake2b(repr(tensor.shape).encode())
    for piece in tensor.chunks():
        digest.update(piece)
    return digest.digest()
