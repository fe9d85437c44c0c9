# SPDX-License-Identifier: BSD-3-Clause
"""The two forms in which a grid's placement is learned; both give 4x4 matrices from the domain into the grid's own box.

- `MatrixTransforms`: a free 4x4 matrix per grid, as in the paper (APMGSRN).
- `ScaleRotationTransforms`: log-scales, a quaternion and a translation per grid, as in its successor (AMGSRN++): no
  shear.
"""

from __future__ import annotations

import torch
from torch import nn

from ..kernels.placement import scale_rotation_matrices

_JITTER = 0.05


class MatrixTransforms(nn.Module):
    """Free matrices. State: `matrices` (m, 4, 4)."""

    kind = "matrix"

    def __init__(self, count: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        matrices = torch.eye(4).repeat(count, 1, 1)
        matrices[:, :3] += _JITTER * torch.randn(count, 3, 4, generator=generator)
        self.matrices = nn.Parameter(matrices)

    @staticmethod
    def shapes(count: int) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the state of `count` grids."""
        return [("matrices", (count, 4, 4))]

    @torch.no_grad()
    def move_into(self, boxes: torch.Tensor) -> None:
        """Move grids that lie about the whole domain into boxes (m, 6): centre and half size along x, y, z."""
        scale, shift = _to_box(boxes)
        identity = torch.eye(3).to(self.matrices)
        self.matrices[:, :3, :3].add_(torch.diag_embed(scale).to(self.matrices) - identity)
        self.matrices[:, :3, 3].add_(shift.to(self.matrices))

    def forward(self) -> torch.Tensor:
        """(m, 4, 4): from normalized domain coordinates to each grid's [-1, 1]^3."""
        return self.matrices


class ScaleRotationTransforms(nn.Module):
    """Rotation times scale plus translation.

    State: `log_scales` (m, 3), `quaternions` (m, 4) as x, y, z, w, `translations` (m, 3).
    """

    kind = "srt"

    def __init__(self, count: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        quaternions = torch.zeros(count, 4)
        quaternions[:, 3] = 1.0
        scales = 1.0 - _JITTER * torch.rand(count, 3, generator=generator)
        self.log_scales = nn.Parameter(scales.log())
        self.quaternions = nn.Parameter(quaternions)
        self.translations = nn.Parameter(2 * _JITTER * torch.rand(count, 3, generator=generator) - _JITTER)

    @staticmethod
    def shapes(count: int) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the state of `count` grids."""
        return [("log_scales", (count, 3)), ("quaternions", (count, 4)), ("translations", (count, 3))]

    @torch.no_grad()
    def move_into(self, boxes: torch.Tensor) -> None:
        """Move grids that lie about the whole domain into boxes (m, 6): centre and half size along x, y, z."""
        scale, shift = _to_box(boxes)
        self.log_scales.add_(scale.log().to(self.log_scales))
        self.translations.add_(shift.to(self.translations))

    def forward(self) -> torch.Tensor:
        """(m, 4, 4): from normalized domain coordinates to each grid's [-1, 1]^3; quaternions of any length."""
        return scale_rotation_matrices(self.log_scales, self.quaternions, self.translations)


def _to_box(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift (m, 3) that map boxes (m, 6) onto [-1, 1]^3."""
    scale = 1.0 / boxes[:, 3:]
    return scale, -boxes[:, :3] * scale


TRANSFORM_FORMS: dict[str, type[MatrixTransforms] | type[ScaleRotationTransforms]] = {
    form.kind: form for form in (MatrixTransforms, ScaleRotationTransforms)
}
