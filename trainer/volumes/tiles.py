# SPDX-License-Identifier: BSD-3-Clause
"""In which pieces a chunked array is read: every chunk once, and little memory besides the result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

# Bytes of one piece; also what one decompressed chunk may need before it is kept in the library's cache.
TILE_BYTES = 8 << 20

Tile = tuple[slice, slice, slice]


def tiles(
    shape: tuple[int, int, int], chunks: Sequence[int] | None, itemsize: int, part: Tile | None = None
) -> Iterator[Tile]:
    """Slices (z, y, x) that cover an array, or a part of it.

    Pieces are made of whole chunks as long as they fit, cut off where the part ends; a chunk that does not fit is read
    in slices, one chunk after the other, so that a cache of one chunk is enough.

    Args:
        shape: [z, y, x].
        chunks: the file's chunks along these axes; None for an array stored in one piece.
        itemsize: bytes per value.
        part: what to cover; everything if None.
    """
    chunk = _chunk(shape, chunks)
    wanted = part if part is not None else (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    first = [s.start // c * c for s, c in zip(wanted, chunk, strict=True)]
    step = list(chunk)
    for axis in (2, 1, 0):
        fitting = max(1, TILE_BYTES // (itemsize * math.prod(step)))
        needed = -(-(wanted[axis].stop - first[axis]) // chunk[axis])
        step[axis] = chunk[axis] * min(fitting, needed)
    thin = max(1, min(step[0], TILE_BYTES // (itemsize * step[1] * step[2])))
    for z in range(first[0], wanted[0].stop, step[0]):
        for y in range(first[1], wanted[1].stop, step[1]):
            for x in range(first[2], wanted[2].stop, step[2]):
                end = min(z + step[0], wanted[0].stop)
                for plane in range(max(z, wanted[0].start), end, thin):
                    yield (
                        slice(plane, min(plane + thin, end)),
                        slice(max(y, wanted[1].start), min(y + step[1], wanted[1].stop)),
                        slice(max(x, wanted[2].start), min(x + step[2], wanted[2].stop)),
                    )


def decoded_values(shape: tuple[int, int, int], chunks: Sequence[int] | None, part: Tile) -> int:
    """How many values reading a part of an array decodes: those of all chunks that it touches."""
    count = 1
    for s, c, n in zip(part, _chunk(shape, chunks), shape, strict=True):
        count *= min(-(-s.stop // c) * c, n) - s.start // c * c
    return count


def cache_bytes(chunks: Sequence[int] | None, itemsize: int) -> int:
    """How much of the library's cache reading by `tiles` needs: one chunk where chunks are larger than a tile, else
    nothing."""
    if chunks is None:
        return 0
    size = itemsize * math.prod(chunks)
    return size if size > TILE_BYTES else 0


def _chunk(shape: tuple[int, int, int], chunks: Sequence[int] | None) -> tuple[int, ...]:
    return tuple(min(max(c, 1), n) for c, n in zip(chunks or (1, 1, 1), shape, strict=True))
