# SPDX-License-Identifier: BSD-3-Clause
"""From what is learned of grids' placement to their transforms, in the two forms that there are: 'matrix' and 'srt', see
`models.transforms`. The readable twin of native/placement.h.

Shapes: m grids, which may be those of several networks, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def transforms_of(form: str, learned: Sequence[torch.Tensor]) -> torch.Tensor:
    """Transforms (m, 4, 4), differentiable, of a form's parameters in the order of `fitting.Learned.placement`."""
    if form == "matrix":
        return learned[0]
    return scale_rotation_matrices(*learned)


def scale_rotation_matrices(
    log_scales: torch.Tensor, quaternions: torch.Tensor, translations: torch.Tensor
) -> torch.Tensor:
    """Rotation times scale plus translation (m, 4, 4): of log-scales (m, 3), quaternions (m, 4) of any length, and
    translations (m, 3)."""
    linear = rotation_matrices(quaternions) * log_scales.exp().unsqueeze(1)
    top = torch.cat([linear, translations.unsqueeze(2)], dim=2)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(top), 1, 4)
    return torch.cat([top, bottom], dim=1)


def rotation_matrices(quaternions: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (m, 3, 3) of quaternions (m, 4) as x, y, z, w; they are normalized first."""
    x, y, z, w = torch.nn.functional.normalize(quaternions, dim=1).unbind(1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], dim=1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], dim=1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], dim=1),
    ]
    return torch.stack(rows, dim=1)
