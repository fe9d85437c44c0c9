# SPDX-License-Identifier: BSD-3-Clause
"""Fields to files and back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch

from ..device import select_device
from ..errors import ModelFileDamaged
from ..field import Field
from ..memory import memory_limit
from ..models.amgsrn import AMGSRN, AMGSRNField
from ..models.constant import ConstantField
from ..models.ensemble import EnsembleField
from ..models.masked import Mask, MaskedField
from ..models.series import SeriesField
from .container import TensorFile
from .masks import decode_mask, encode_mask, may_hold
from .model_file import ModelHeader, check_shapes, header_of, tensors_of, write_model
from .tree import ConstantNode, EnsembleNode, LeafNode, NetworkNode, Node, SeriesNode

StorableField = AMGSRNField | ConstantField | MaskedField


def save_field(
    path: str | Path, field: StorableField, training: dict[str, Any] | None = None, half: bool = False
) -> None:
    """Write a field as an .amgsrn file, all or nothing.

    Args:
        path: the file.
        field: a network or a constant, with or without gaps.
        training: JSON-ready, how it was made.
        half: store the features of the grids as float16, all else as float32.

    Raises:
        ModelNotWritable: no such folder, not allowed, or no space; what was there before is untouched.
    """
    node, tensors = stored_field(field, half)
    write_model(path, ModelHeader(node, field.domain, field.array, training or {}), tensors)


def stored_field(field: StorableField, half: bool = False) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A field's node, JSON-ready, and its tensors as they are stored, see `save_field`."""
    if isinstance(field, MaskedField):
        if not isinstance(field.field, AMGSRNField | ConstantField):
            raise TypeError(f"a {type(field.field).__name__} with gaps cannot be stored")
        node, tensors = stored_field(field.field, half)
        entry, content = encode_mask(field.mask)
        return {**node, "mask": entry}, {**tensors, "mask": content}
    if isinstance(field, ConstantField):
        return {"type": "constant", "values": None if field.values is None else list(field.values)}, {}
    scaling = {} if field.scaling == field.array.ranges else {"scaling": [list(ends) for ends in field.scaling]}
    return {**field.network.config.to_dict(), **scaling}, stored_tensors(field.network, half)


def stored_tensors(network: AMGSRN, half: bool) -> dict[str, torch.Tensor]:
    """A network's tensors as they are stored, see `save_field`."""
    tensors: dict[str, torch.Tensor] = dict(network.state_dict())
    if half:
        tensors["grids"] = tensors["grids"].half()
    return tensors


def open_field(
    path: str | Path, device: str | torch.device = "auto", time: float | None = None, interpolate: bool = False
) -> Field:
    """The field stored in an .amgsrn file, ready to be sampled on a device. Bricks and time steps are read when they are
    needed.

    Args:
        path: the file.
        device: where the field is to be sampled.
        time: of a series, which step: the nearest one; the first if None. Other fields are the same at all times.
        interpolate: between the two steps about `time` instead.

    Raises:
        ModelFileError: missing, damaged, too new, or not a model; one clear line each.
        DeviceUnavailable: no such device here.
    """
    target = select_device(device) if isinstance(device, str) else device
    file = TensorFile(path)
    header = header_of(file)
    for node in header.tree.walk():
        if isinstance(node, LeafNode):
            _check(file, node)
    field = _Loader(file, header, target).field(header.tree)
    return field.at(time, interpolate) if isinstance(field, SeriesField) and time is not None else field


def leaf_shapes(node: LeafNode) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a node but for its mask."""
    shapes = node.config.shapes() if isinstance(node, NetworkNode) else {}
    return {node.prefix + name: shape for name, shape in shapes.items()}


def _check(file: TensorFile, node: LeafNode) -> None:
    """Make sure that a node's tensors are there, before any is read."""
    check_shapes(file, leaf_shapes(node), node.label)
    if node.mask_prefix is None:
        return
    entry = file.entries.get(f"{node.mask_prefix}mask")
    if entry is None or entry.dtype != "U8" or not may_hold(node.shape, entry.bytes):
        of = f" of {node.label}" if node.label else ""
        raise ModelFileDamaged(file.path, f"the mask{of} is missing or cannot be of {node.shape} nodes")


class _Loader:
    """Makes fields of the nodes of one open file."""

    def __init__(self, file: TensorFile, header: ModelHeader, device: torch.device) -> None:
        self._file, self._header, self._device = file, header, device
        # Those in use: bricks that are given up take their masks with them.
        self._masks: WeakValueDictionary[str, Mask] = WeakValueDictionary()

    def field(self, node: Node, memory: int | None = None) -> Field:
        """The field of a node; networks are read now, members of ensembles and series when they are needed.

        Args:
            node: of the file's tree.
            memory: bytes that bricks of an ensemble may take, see `EnsembleField`.
        """
        if isinstance(node, SeriesNode):
            return self._series(node)
        if isinstance(node, EnsembleNode):
            return self._ensemble(node, memory)
        assert isinstance(node, LeafNode)
        field = self._values(node)
        return field if node.mask_prefix is None else MaskedField(field, self._mask(node))

    def _values(self, node: LeafNode) -> Field:
        domain, array = self._header.domain, self._header.array
        if node.shape != domain.shape:
            domain = domain.part(node.extent)
        if isinstance(node, ConstantNode):
            return ConstantField(node.values, domain, array, self._device)
        assert isinstance(node, NetworkNode)
        tensors = tensors_of(self._file, leaf_shapes(node), torch.device("cpu"), node.label)
        network = AMGSRN(node.config)
        network.load_state_dict({name.removeprefix(node.prefix): tensor for name, tensor in tensors.items()})
        return AMGSRNField(network.to(self._device), domain, array, node.scaling)

    def _mask(self, node: LeafNode) -> Mask:
        """A node's mask, one for all that share it."""
        prefix = str(node.mask_prefix)
        mask = self._masks.get(prefix)
        if mask is None:
            mask = self._masks[prefix] = Mask(node.shape, partial(self._packed_mask, node))
        return mask

    def _packed_mask(self, node: LeafNode) -> np.ndarray:
        try:
            return decode_mask(self._file.read(f"{node.mask_prefix}mask"), node.shape)
        except ValueError as error:
            raise ModelFileDamaged(self._file.path, f"{node.label}: {error}" if node.label else str(error)) from error

    def _ensemble(self, node: EnsembleNode, memory: int | None) -> Field:
        header = self._header
        return EnsembleField(
            header.domain,
            header.array,
            node.partition,
            lambda brick: self.field(node.nodes[brick]),
            self._device,
            has_gaps=node.has_gaps,
            memory=memory,
        )

    def _series(self, node: SeriesNode) -> SeriesField:
        domain = replace(self._header.domain, times=node.times, time=node.times[0])
        memory = memory_limit(self._device)
        # Two steps are always kept, so that the bricks of each may take half.
        half = max(1, memory // 2)
        sizes = [
            min(half, _memory(member)) if isinstance(member, EnsembleNode) else _memory(member)
            for member in node.members
        ]
        return SeriesField(
            domain, self._header.array, self._device, sizes, lambda step: self.field(node.nodes[step], half), memory
        )


def _memory(node: Node) -> int:
    """Bytes that a node's field takes, about: parameters twice, for evaluators keep copies in layouts of their own, and
    packed masks."""
    masks = sum(leaf.mask_prefix is not None and -(-_product(leaf.shape) // 8) for leaf in _leaves(node))
    return 8 * node.parameters + masks


def _leaves(node: Node) -> list[LeafNode]:
    return [leaf for leaf in node.walk() if isinstance(leaf, LeafNode)]


def _product(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]
