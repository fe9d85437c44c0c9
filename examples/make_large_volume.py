#!/usr/bin/env python3
"""Writes a synthetic volume of any size as chunked NetCDF, piece by piece: something to try ensembles on.

A ball of turbulence in an empty box. Noise of ever finer octaves, each with a random value per node of a lattice and a
cubic B-spline between the nodes, makes the logarithm of a density, which fades to nothing at the ball's surface. No
more than a few hundred MB of memory are used, whatever the size.

    python examples/make_large_volume.py --size 1024 --output large.nc
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

EDGE = 1.0  # of the box, m
# Nodes along y that are computed at a time.
ROWS = 256
# The coarsest octave has so many lattice cells per axis; each finer one twice as many, and this part of its amplitude.
COARSEST, FALL = 4, 0.62
# The finest octave has so many nodes of the volume per lattice cell at least: finer ones would be noise between nodes.
NODES_PER_CELL = 6.0
# Of the ball and of the layer in which it fades, in units of the box's edge.
RADIUS, SKIN = 0.42, 0.06
# Range of the density's logarithm about 0: standard deviation of the sum of all octaves.
CONTRAST = 1.1


@dataclass(frozen=True)
class Octave:
    """Noise of one scale: random values on a periodic lattice, float32 (cells, cells, cells) [z, y, x]."""

    lattice: torch.Tensor
    amplitude: float

    def at(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> torch.Tensor:
        """Values [z, y, x] at positions along each axis in units of the box's edge."""
        cells = len(self.lattice)
        wz, wy, wx = (spline_weights(axis, cells) for axis in (z, y, x))
        values = torch.tensordot(wz, self.lattice, dims=1)
        values = torch.einsum("yj,zjx->zyx", wy, values)
        return values @ wx.T * self.amplitude


def spline_weights(positions: np.ndarray, cells: int) -> torch.Tensor:
    """Weights of the nodes of a periodic lattice at positions (n,), cubic B-spline: float32 (n, cells)."""
    scaled = np.asarray(positions) * cells
    first = np.floor(scaled).astype(np.int64)
    t = scaled - first
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(scaled), cells))
    for offset, tap in enumerate(taps):
        np.add.at(weights, (np.arange(len(scaled)), (first + offset - 1) % cells), tap / 6)
    return torch.from_numpy(weights.astype(np.float32))


def octaves(size: int, seed: int) -> list[Octave]:
    """Noise for a volume of `size` nodes per axis, its sum having the standard deviation `CONTRAST`."""
    random = np.random.default_rng(seed)
    counts = [COARSEST]
    while size / (2 * counts[-1]) >= NODES_PER_CELL:
        counts.append(2 * counts[-1])
    # A cubic B-spline averages: it keeps this part of each axis's standard deviation.
    kept = np.sqrt(np.mean(spline_weights(np.linspace(0, 1, 512), 8).square().sum(dim=1).numpy())) ** 3
    amplitudes = FALL ** np.arange(len(counts))
    amplitudes *= CONTRAST / (kept * np.linalg.norm(amplitudes))
    return [
        Octave(torch.from_numpy(random.standard_normal((n, n, n), dtype=np.float32)), float(amplitude))
        for n, amplitude in zip(counts, amplitudes, strict=True)
    ]


def density(noise: list[Octave], z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Density, float32 [z, y, x], at positions along each axis in units of the box's edge; exactly 0 outside the
    ball."""
    squares = [torch.from_numpy(((axis - 0.5) ** 2).astype(np.float32)) for axis in (z, y, x)]
    radius = (squares[0][:, None, None] + squares[1][:, None] + squares[2]).sqrt_()
    inside = ((RADIUS - radius) / SKIN).clamp_(0, 1)
    if not inside.any():
        return inside.numpy()
    logarithm = noise[0].at(z, y, x)
    for octave in noise[1:]:
        logarithm += octave.at(z, y, x)
    return logarithm.exp_().mul_(inside.square() * (3 - 2 * inside)).numpy()


def write_netcdf(path: Path, size: int, chunk: int, seed: int, compress: bool) -> float:
    """Write the density (z, y, x), to a temporary name first; returns its maximum."""
    import netCDF4

    noise, nodes = octaves(size, seed), np.arange(size) / size
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    highest = 0.0
    try:
        with netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
            file.Conventions = "CF-1.8"
            file.title = "Ball of turbulence (synthetic)"
            file.history = f"make_large_volume.py --size {size} --chunk {chunk} --seed {seed}"
            for axis in "zyx":
                file.createDimension(axis, size)
                coordinate = file.createVariable(axis, "f8", (axis,))
                coordinate.units = "m"
                coordinate.axis = axis.upper()
                coordinate[:] = nodes * EDGE
            variable = file.createVariable(
                "density", "f4", ("z", "y", "x"), zlib=compress, complevel=1, shuffle=compress, chunksizes=(chunk,) * 3
            )
            variable.units = "kg m-3"
            rows = max(chunk, ROWS // chunk * chunk)
            # Every chunk is written once, whole: nothing is gained by keeping any.
            variable.set_var_chunk_cache(size=1)
            for z in range(0, size, chunk):
                for y in range(0, size, rows):
                    values = density(noise, nodes[z : z + chunk], nodes[y : y + rows], nodes)
                    highest = max(highest, float(values.max()))
                    variable[z : z + chunk, y : y + rows] = values
                if sys.stderr.isatty():
                    print(
                        f"\rwriting {size}^3 nodes: {100 * min(1, (z + chunk) / size):.0f} %", end="", file=sys.stderr
                    )
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return highest


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Writes a large synthetic volume as chunked NetCDF.")
    parser.add_argument("--output", type=Path, default=Path("large.nc"), help="file to write (%(default)s)")
    parser.add_argument("--size", type=int, default=1024, help="nodes per axis (%(default)s: 4.3 GB)")
    parser.add_argument("--chunk", type=int, default=64, help="nodes per axis of a chunk of the file (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (%(default)s)")
    parser.add_argument("--compress", action="store_true", help="with zlib: smaller, and slower to write")
    options = parser.parse_args(arguments)
    if options.size < 16:
        parser.error(f"--size must be at least 16, not {options.size}")
    if not 1 <= options.chunk <= options.size:
        parser.error(f"--chunk must be between 1 and the size, not {options.chunk}")
    if options.seed < 0:
        parser.error(f"--seed must not be negative, but is {options.seed}")
    if not options.output.resolve().parent.is_dir():
        parser.error(f"--output: there is no folder {options.output.resolve().parent}")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    highest = write_netcdf(options.output, options.size, options.chunk, options.seed, options.compress)
    print(f"{options.output}: density, {options.size}x{options.size}x{options.size}, maximum {highest:.2f} kg m-3")
    return 0


if __name__ == "__main__":
    sys.exit(main())
