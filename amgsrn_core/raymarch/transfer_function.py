# SPDX-License-Identifier: BSD-3-Clause
"""From values to colour and opacity."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import InvalidTransferFunction


@dataclass(frozen=True, eq=False)
class TransferFunction:
    """Colour and opacity as a table over a range of values.

    Attributes:
        table: float32 (n, 4): red, green, blue, opacity in [0, 1], at n >= 2 values equally spaced over the range.
        value_range: (low, high) in data units.
    """

    table: torch.Tensor
    value_range: tuple[float, float]

    def __post_init__(self) -> None:
        low, high = self.value_range
        if self.table.ndim != 2 or self.table.shape[1] != 4 or len(self.table) < 2:
            raise InvalidTransferFunction(
                f"a transfer function has shape {tuple(self.table.shape)}; expected (n, 4), n >= 2"
            )
        if not low <= high:
            raise InvalidTransferFunction(
                f"a transfer function has the range {low} to {high}; the first must not exceed the second"
            )

    def to(self, device: torch.device) -> TransferFunction:
        """The same function on a device."""
        return TransferFunction(self.table.to(device), self.value_range)

    def lookup(self, values: torch.Tensor) -> torch.Tensor:
        """Colour and opacity (n, 4) of values (n,); linear between table entries, the ends' beyond the range, and the
        low end's of what is no number."""
        low, high = self.value_range
        last = len(self.table) - 1
        if high > low:
            position = ((values - low) * (last / (high - low))).nan_to_num_(0.0).clamp_(0, last)
        else:
            position = torch.where(values > high, float(last), 0.0)
        cell = position.floor().clamp_(max=last - 1)
        lower = cell.long()
        return torch.lerp(self.table[lower], self.table[lower + 1], (position - cell).unsqueeze(1))

    @property
    def is_invisible(self) -> bool:
        """Whether nothing has any opacity."""
        return not bool((self.table[:, 3] > 0).any())
