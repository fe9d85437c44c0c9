# SPDX-License-Identifier: BSD-3-Clause
"""Fields with gaps: places where the data had no values, and the field has none either.

Which nodes have values is exact. Between nodes a point has a value where the trilinear interpolation of 'has one' (0 or 1
at the nodes) is at least one half.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch

from ..field import Field

# Cells along the edge of a block, and in it.
_EDGE = 8
_BLOCK_CELLS = _EDGE**3
_EMPTY, _FULL, _FIRST_MIXED = 0, 1, 2
_POINTS = 1 << 16


class Mask:
    """Which nodes of a box have values.

    In memory a cell is one byte, a bit for each of its corners, so that one look tells of all eight; blocks of 8 x 8 x 8
    cells whose corners all are alike share their bytes. So a mask takes little more than its border needs.

    Args:
        shape: nodes of the box [z, y, x], at least 2 along each axis.
        packed: gives uint8 (ceil(z * y * x / 8),), `np.packbits` of the nodes [z, y, x]; called when it is first needed.
    """

    def __init__(self, shape: tuple[int, int, int], packed: Callable[[], np.ndarray]) -> None:
        self.shape = shape
        self._packed = packed
        self._on_device: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    @classmethod
    def of(cls, valid: np.ndarray) -> Mask:
        """The mask of an array: bool [z, y, x], True where there are values."""
        z, y, x = valid.shape
        packed = np.packbits(valid)
        return cls((z, y, x), lambda: packed)

    def packed(self) -> np.ndarray:
        """uint8 (ceil(z * y * x / 8),), `np.packbits` of the nodes."""
        return self._packed()

    def nodes(self) -> np.ndarray:
        """bool [z, y, x], True where there are values."""
        z, y, x = self.shape
        return np.unpackbits(self._packed(), count=z * y * x).astype(bool).reshape(self.shape)

    @property
    def bytes(self) -> int:
        """Memory that the mask takes once it was looked at."""
        return sum(tensor.nbytes for tensor in self._cells)

    @torch.inference_mode()
    def valid(self, points: torch.Tensor) -> torch.Tensor:
        """Where there are values.

        Args:
            points: float32 (n, 3), normalized coordinates in the mask's own box, on any device; those outside are moved
                to its surface.

        Returns:
            bool (n,), on the points' device.
        """
        if points.device not in self._on_device:
            blocks, corners = self._cells
            self._on_device[points.device] = (blocks.to(points.device), corners.to(points.device))
        tables = self._on_device[points.device]
        parts = [self._valid(part, *tables) for part in points.split(_POINTS)]
        return torch.cat(parts) if len(parts) != 1 else parts[0]

    def _valid(self, points: torch.Tensor, blocks: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        z, y, x = self.shape
        nodes = points.new_tensor([x - 1, y - 1, z - 1])
        position = points.clamp(-1.0, 1.0).add_(1.0).mul_(0.5 * nodes)
        # Positions are not negative, so that the conversion rounds down; of points that are not numbers it gives anything.
        cell = position.to(torch.int32)
        cell = torch.minimum(cell, nodes.to(torch.int32) - 1).clamp_min_(0)
        block, inner = cell >> 3, cell & 7
        row = torch.tensor(
            [1, blocks.shape[2], blocks.shape[2] * blocks.shape[1]], dtype=torch.int32, device=cell.device
        )
        which = blocks.view(-1)[(block * row).sum(1)]
        at = which * _BLOCK_CELLS + (inner[:, 0] | (inner[:, 1] << 3) | (inner[:, 2] << 6))
        bits = corners[at]
        valid = bits == 255
        mixed = torch.nonzero(valid.logical_xor(bits != 0)).squeeze(1)
        if len(mixed):
            valid[mixed] = _share(bits[mixed], position[mixed] - cell[mixed]) >= 0.5
        return valid

    @cached_property
    def _cells(self) -> tuple[torch.Tensor, torch.Tensor]:
        """For each block [z, y, x] the number of its table of bytes (int64), and all tables' bytes, one after the other."""
        z, y, x = self.shape
        packed = self._packed()
        blocks = np.empty([-(-(n - 1) // _EDGE) for n in self.shape], dtype=np.int64)
        tables = [np.zeros((1, _BLOCK_CELLS), np.uint8), np.full((1, _BLOCK_CELLS), 255, np.uint8)]
        count = _FIRST_MIXED
        for layer in range(len(blocks)):
            first, last = layer * _EDGE, min((layer + 1) * _EDGE, z - 1)
            cells = _corner_bits(_unpack(packed, first * y * x, (last - first + 1, y, x)))
            table = _in_blocks(cells, (blocks.shape[1], blocks.shape[2]))
            full, empty = (table == 255).all(1), (table == 0).all(1)
            mixed = ~(full | empty)
            numbers = np.where(full, _FULL, _EMPTY)
            numbers[mixed] = count + np.arange(np.count_nonzero(mixed))
            blocks[layer] = numbers.reshape(blocks.shape[1:])
            tables.append(table[mixed])
            count += len(tables[-1])
        return torch.from_numpy(blocks), torch.from_numpy(np.concatenate(tables).reshape(-1))


class MaskedField(Field):
    """A field with gaps.

    Attributes:
        field: what has values everywhere.
        mask: where they mean something.
    """

    def __init__(self, field: Field, mask: Mask) -> None:
        self.field = field
        self.mask = mask
        self.domain = field.domain
        self.array = field.array

    @property
    def device(self) -> torch.device:
        return self.field.device

    @property
    def is_threaded(self) -> bool:
        return self.field.is_threaded

    @property
    def has_gaps(self) -> bool:
        return True

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        return self._masked(points, self.field.sample)

    def sample_for_display(self, points: torch.Tensor) -> torch.Tensor:
        return self._masked(points, self.field.sample_for_display)

    def sample_with_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Field.sample_with_gradient`; in the gaps values are not-a-number, gradients zero."""
        there = torch.nonzero(self.mask.valid(points)).squeeze(1)
        values = points.new_full((len(points), self.array.components), float("nan"))
        gradients = points.new_zeros(len(points), self.array.components, 3)
        if len(there):
            values[there], gradients[there] = self.field.sample_with_gradient(points[there])
        return values, gradients

    def _masked(self, points: torch.Tensor, sample: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        there = torch.nonzero(self.mask.valid(points)).squeeze(1)
        if len(there) == len(points):
            return sample(points)
        values = points.new_full((len(points), self.array.components), float("nan"))
        if len(there):
            values[there] = sample(points[there])
        return values


def _unpack(packed: np.ndarray, start: int, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 (0 or 1) of that shape, from the bits that begin at number `start`."""
    count = shape[0] * shape[1] * shape[2]
    piece = packed[start // 8 : -(-(start + count) // 8)]
    return np.unpackbits(piece)[start % 8 : start % 8 + count].reshape(shape)


def _corner_bits(valid: np.ndarray) -> np.ndarray:
    """A byte per cell of nodes [z, y, x]; bit i + 2 j + 4 k is that of the corner (i, j, k) further along (x, y, z)."""
    z, y, x = (n - 1 for n in valid.shape)
    bits = np.zeros((z, y, x), dtype=np.uint8)
    for corner in range(8):
        i, j, k = corner & 1, corner >> 1 & 1, corner >> 2
        np.bitwise_or(bits, valid[k : k + z, j : j + y, i : i + x] << np.uint8(corner), out=bits)
    return bits


def _in_blocks(cells: np.ndarray, blocks: tuple[int, int]) -> np.ndarray:
    """One layer of blocks (number, 512) of cells [z, y, x]; cells beyond the last ones repeat them, so that they do not
    make a block mixed."""
    rows, columns = blocks
    z, y, x = cells.shape
    padding = ((0, _EDGE - z), (0, rows * _EDGE - y), (0, columns * _EDGE - x))
    padded = np.pad(cells, padding, mode="edge").reshape(_EDGE, rows, _EDGE, columns, _EDGE)
    return padded.transpose(1, 3, 0, 2, 4).reshape(rows * columns, _BLOCK_CELLS)


def _share(bits: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Trilinear interpolation (n,) of corner bits (n,) at positions (n, 3) in their cells."""
    values = torch.stack([(bits >> corner & 1).to(fraction.dtype) for corner in range(8)], dim=1).view(-1, 2, 2, 2)
    for axis in (0, 1, 2):
        weight = fraction[:, axis].view(-1, *(1,) * (2 - axis))
        values = values[..., 0] + (values[..., 1] - values[..., 0]) * weight
    return values
