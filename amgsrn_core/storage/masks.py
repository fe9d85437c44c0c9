# SPDX-License-Identifier: BSD-3-Clause
"""How masks are stored: a bit per node, compressed by zlib."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..models.masked import Mask

CODEC = "bits+zlib"
_LEVEL = 9
# What zlib compresses best becomes smaller by this factor at most; more is not a mask but an attack.
_MOST_COMPRESSION = 1032
_LEAST_STREAM = 8


def encode_mask(mask: Mask) -> tuple[dict[str, Any], torch.Tensor]:
    """A mask's entry in its node, JSON-ready, and its tensor, uint8 (bytes,)."""
    content = zlib.compress(mask.packed().tobytes(), _LEVEL)
    return mask_entry(mask.shape), torch.frombuffer(bytearray(content), dtype=torch.uint8)


def mask_entry(shape: Sequence[int]) -> dict[str, Any]:
    """What a node says of its mask over nodes [z, y, x]."""
    return {"codec": CODEC, "shape": list(shape)}


def may_hold(shape: Sequence[int], size: int) -> bool:
    """Whether so many bytes can be a mask of nodes [z, y, x]."""
    return size >= _LEAST_STREAM and -(-math.prod(shape) // 8) <= _MOST_COMPRESSION * size


def decode_mask(content: torch.Tensor, shape: Sequence[int]) -> np.ndarray:
    """uint8 (ceil(z * y * x / 8),): the packed bits of nodes [z, y, x]. Never takes more memory than they need.

    Raises:
        ValueError: not a mask of that shape.
    """
    expected = -(-math.prod(shape) // 8)
    if not may_hold(shape, content.numel()):
        raise ValueError(f"a mask of {content.numel()} bytes cannot be of {' x '.join(map(str, shape))} nodes")
    stream = zlib.decompressobj()
    try:
        packed = stream.decompress(content.numpy().data, expected + 1)
    except zlib.error as error:
        raise ValueError(f"unreadable mask ({error})") from error
    if len(packed) != expected or not stream.eof or stream.unused_data:
        raise ValueError(f"a mask of other than {' x '.join(map(str, shape))} nodes")
    return np.frombuffer(packed, dtype=np.uint8)
