# SPDX-License-Identifier: BSD-3-Clause
"""The reference of the volume sampling kernels: plain PyTorch, any device.

Random positions depend on nothing but (seed, step), and have the same bits in every back end: random numbers come from
a counter-based generator as integers, and all arithmetic on them is exact in double precision but for one last product.

Volumes are [z, y, x] or [z, y, x, c], at least two nodes along each axis, NaN where missing. Points are (x, y, z) in
[-1, 1]^3, the outermost nodes lie on the faces. A scaling (low, scale) turns a value v into (v - low) * scale.
"""

from __future__ import annotations

from functools import lru_cache

import torch

# Cells of a lattice along each edge of a brick: 64 points, a block of the compiled kernels.
_BRICK = 4
_ROUNDS = 10
_WORD = 0xFFFFFFFF
# Random fractions have 24 bits.
_UNIT = 1 << 24


def philox(counter: torch.Tensor, key: tuple[int, int]) -> torch.Tensor:
    """Random 32-bit words by Philox4x32-10.

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Args:
        counter: int64 (4, n), words in [0, 2^32).
        key: two such words.

    Returns:
        int64 (4, n), words in [0, 2^32).
    """
    factors = torch.tensor([[0xD2511F53], [0xCD9E8D57]], device=counter.device)
    keys = torch.tensor([[key[0]], [key[1]]], device=counter.device)
    key_steps = torch.tensor([[0x9E3779B9], [0xBB67AE85]], device=counter.device)
    even, odd = counter[0::2], counter[1::2]
    for _ in range(_ROUNDS):
        # Products may wrap around to negative numbers; their halves are right all the same.
        products = (factors * even).flip(0)
        even, odd = (products >> 32 & _WORD) ^ odd ^ keys, products & _WORD
        keys = keys + key_steps & _WORD
    return torch.stack([even, odd], dim=1).flatten(0, 1)


def uniform_samples(
    values: torch.Tensor, count: int, scaling: tuple[float, float], seed: int, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Independent random points, equally likely everywhere, and the values there, interpolated.

    Args:
        values: a volume.
        count: number of points.
        scaling: of the values.
        seed, step: what the points depend on, each modulo 2^64.

    Returns:
        Points float32 (n, 3), and values float32 (n,) or (n, c), NaN where a node around is missing.
    """
    points = ((_random(count, seed, step, values.device) - _UNIT // 2).double() * (2.0 / _UNIT)).float()
    return points, _scaled(_trilinear(values, points), scaling)


def lattice_samples(
    values: torch.Tensor,
    lattice: tuple[int, int, int],
    scaling: tuple[float, float],
    seed: int,
    step: int,
    snap: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One random point in each cell of a lattice over the volume, and the values there.

    Cells come brick by brick: points that follow each other are near each other, and so are the grid nodes that kernels
    read.

    Args:
        values: a volume.
        lattice: cells along z, y, x; at most one per node.
        scaling: of the values.
        seed, step: what the points depend on, each modulo 2^64.
        snap: each cell is a part of the set of nodes and its point is one of them, equally likely every one; else cells
            are parts of the volume and values are interpolated.

    Returns:
        Points float32 (n, 3), and values float32 (n,) or (n, c), NaN where missing.
    """
    corners = lattice_corners(lattice).to(values.device)
    places = (corners * _UNIT + _random(len(corners), seed, step, values.device)).double()
    cells = torch.tensor([n * _UNIT for n in lattice[::-1]], dtype=torch.float64, device=values.device)
    if not snap:
        points = ((2.0 * places - cells) * (1.0 / cells)).float()
        return points, _scaled(_trilinear(values, points), scaling)
    nodes = torch.tensor(values.shape[2::-1], dtype=torch.float64, device=values.device)
    node = torch.minimum((places * (nodes / cells)).floor(), nodes - 1)
    points = ((2.0 * node - (nodes - 1)) * (1.0 / (nodes - 1))).float()
    x, y, z = node.long().unbind(1)
    return points, _scaled(values[z, y, x].double(), scaling)


def sample_volume(values: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Values between the nodes of a volume, trilinear; outside it the outermost cells go on.

    Args:
        values: a volume.
        points: (n, 3).

    Returns:
        (n,) or (n, c), of the volume's type; NaN where one of the eight nodes around is missing.
    """
    return _trilinear(values, points).to(values.dtype)


@lru_cache(maxsize=4)
def lattice_corners(lattice: tuple[int, int, int]) -> torch.Tensor:
    """Lower corners of the cells of a lattice (z, y, x), brick by brick: int64 (cells, 3) as x, y, z, in cells."""
    z, y, x = (torch.arange(n) for n in lattice)
    cells = torch.cartesian_prod(z, y, x)
    y_bricks, x_bricks = (-(-n // _BRICK) for n in lattice[1:])
    bricks = cells // _BRICK
    order = ((bricks[:, 0] * y_bricks + bricks[:, 1]) * x_bricks + bricks[:, 2]).argsort(stable=True)
    return cells[order].flip(1)


def _random(count: int, seed: int, step: int, device: torch.device) -> torch.Tensor:
    """Random numbers in [0, 2^24): int64 (count, 3)."""
    point = torch.arange(count, device=device)
    words = (
        point & _WORD,
        point >> 32,
        torch.full_like(point, step & _WORD),
        torch.full_like(point, step >> 32 & _WORD),
    )
    return (philox(torch.stack(words), (seed & _WORD, seed >> 32 & _WORD))[:3] >> 8).T


def _trilinear(values: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """`sample_volume` in double precision."""
    cells, weights = [], []
    for column, count in enumerate(values.shape[2::-1]):
        index = (points[:, column].double() + 1.0) * (0.5 * (count - 1))
        cell = index.clamp(0, count - 2).nan_to_num(0.0).long()
        weight = index - cell
        cells.append(cell)
        weights.append(weight if values.dim() == 3 else weight.unsqueeze(1))
    (x, y, z), (x_weight, y_weight, z_weight) = cells, weights
    planes = []
    for plane in (z, z + 1):
        rows = [
            torch.lerp(values[plane, row, x].double(), values[plane, row, x + 1].double(), x_weight)
            for row in (y, y + 1)
        ]
        planes.append(torch.lerp(rows[0], rows[1], y_weight))
    return torch.lerp(planes[0], planes[1], z_weight)


def _scaled(values: torch.Tensor, scaling: tuple[float, float]) -> torch.Tensor:
    low, scale = scaling
    return ((values - low) * scale).float()
