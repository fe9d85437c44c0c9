# SPDX-License-Identifier: BSD-3-Clause
"""In which pieces a chunked array is read: every chunk once, and little memory besides the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Bytes of one piece; also what one decompressed chunk may need before it is kept in the library's cache.
TILE_BYTES = 8 << 20

Tile = tuple[slice, slice, slice]


def tiles(shape: tuple[int, int, int], chunks: Sequence[int] | None, itemsize: int) -> Iterator[Tile]:
    """Slices (z, y, x) that cover an array.

    Pieces are made of whole chunks as long as they fit; a chunk that does not is read in slices, one chunk after the
    other, so that a cache of one chunk is enough.

    Args:
        shape: [z, y, x].
        chunks: the file's chunks along these axes; None for an array stored in one piece.
        itemsize: bytes per value.
    """
    step = list(chunks) if chunks is not None else [1, 1, 1]
    step = [min(max(s, 1), n) for s, n in zip(step, shape, strict=True)]
    for axis in (2, 1, 0):
        others = itemsize * step[0] * step[1] * step[2] // step[axis]
        whole = max(1, TILE_BYTES // (others * step[axis]))
        step[axis] = min(shape[axis], step[axis] * whole)
    thin = max(1, min(step[0], TILE_BYTES // (itemsize * step[1] * step[2])))
    for z in range(0, shape[0], step[0]):
        for y in range(0, shape[1], step[1]):
            for x in range(0, shape[2], step[2]):
                end = min(z + step[0], shape[0])
                for plane in range(z, end, thin):
                    yield (
                        slice(plane, min(plane + thin, end)),
                        slice(y, min(y + step[1], shape[1])),
                        slice(x, min(x + step[2], shape[2])),
                    )


def cache_bytes(chunks: Sequence[int] | None, itemsize: int) -> int:
    """How much of the library's cache reading by `tiles` needs: one chunk where chunks are larger than a tile, else
    nothing."""
    if chunks is None:
        return 0
    size = itemsize
    for n in chunks:
        size *= n
    return size if size > TILE_BYTES else 0
