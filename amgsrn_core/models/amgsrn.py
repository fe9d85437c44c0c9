# SPDX-License-Identifier: BSD-3-Clause
"""The adaptive multi-grid scene representation network of Wurster et al., section 4.1.

M small feature grids, each placed in the domain by a learned transform; a point's features are interpolated in every
grid, concatenated, and turned into a value by a small MLP. The MLP's output is in units of the value range: 0 is its
low end, 1 its high end.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from .. import kernels
from ..domain import Domain
from ..field import ArrayInfo, Field, Ranges
from .transforms import TRANSFORM_FORMS

_FEATURE_INIT = 1e-4


@dataclass(frozen=True)
class AMGSRNConfig:
    """The size of a network.

    Attributes:
        grids: number of feature grids, M.
        channels: features per grid node, C.
        resolution: nodes per grid along (x, y, z).
        hidden: widths of the MLP's hidden layers.
        outputs: values per point.
        transform: 'matrix' (free 4x4) or 'srt' (scale, rotation, translation).
        bias: whether the MLP's layers have biases; the paper's have none.
    """

    grids: int = 16
    channels: int = 1
    resolution: tuple[int, int, int] = (16, 16, 16)
    hidden: tuple[int, ...] = (64, 64)
    outputs: int = 1
    transform: str = "matrix"
    bias: bool = False

    def __post_init__(self) -> None:
        counts = (self.grids, self.channels, self.outputs, *self.hidden)
        if (
            len(self.resolution) != 3
            or min(self.resolution) < 2
            or min(counts) < 1
            or self.transform not in TRANSFORM_FORMS
        ):
            raise ValueError(f"not a network: {self}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description, inverse of `from_dict`."""
        return {"type": "amgsrn", **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AMGSRNConfig:
        """Inverse of `to_dict`.

        Raises:
            ValueError, KeyError, TypeError: entries that do not describe a network.
        """
        x, y, z = (int(n) for n in data["resolution"])
        return cls(
            grids=int(data["grids"]),
            channels=int(data["channels"]),
            resolution=(x, y, z),
            hidden=tuple(int(n) for n in data["hidden"]),
            outputs=int(data["outputs"]),
            transform=str(data["transform"]),
            bias=bool(data["bias"]),
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every learned tensor, without making a network."""
        x, y, z = self.resolution
        placement = {f"placement.{name}": shape for name, shape in TRANSFORM_FORMS[self.transform].shapes(self.grids)}
        widths = [self.grids * self.channels, *self.hidden, self.outputs]
        layers: dict[str, tuple[int, ...]] = {}
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            layers[f"layers.{i}.weight"] = (outputs, inputs)
            if self.bias:
                layers[f"layers.{i}.bias"] = (outputs,)
        return {**placement, "grids": (self.grids, self.channels, z, y, x), **layers}

    def parameter_count(self) -> int:
        """Number of values that such a network learns."""
        return sum(math.prod(shape) for shape in self.shapes().values())


class AMGSRN(nn.Module):
    """The network: normalized points (n, 3) -> (n, outputs) in units of the value range. Differentiable.

    State: `placement` (see `transforms`), `grids` (m, c, z, y, x), `layers` (one `nn.Linear` each).
    """

    def __init__(self, config: AMGSRNConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        self.placement = TRANSFORM_FORMS[config.transform](config.grids, generator)
        x, y, z = config.resolution
        features = torch.rand(config.grids, config.channels, z, y, x, generator=generator)
        self.grids = nn.Parameter(_FEATURE_INIT * (2.0 * features - 1.0))
        widths = [config.grids * config.channels, *config.hidden, config.outputs]
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(widths):
            layer = nn.Linear(inputs, outputs, bias=config.bias)
            nn.init.xavier_normal_(layer.weight, generator=generator)
            if config.bias:
                nn.init.zeros_(layer.bias)
            self.layers.append(layer)

    def transforms(self) -> torch.Tensor:
        """(m, 4, 4): from the domain into each grid's [-1, 1]^3."""
        return self.placement()

    def forward(self, points: torch.Tensor, transforms: torch.Tensor | None = None) -> torch.Tensor:
        """Values (n, outputs) in units of the value range; `transforms` (m, 4, 4) replaces the network's own."""
        matrices = self.transforms() if transforms is None else transforms
        return kernels.forward(points, matrices, self.grids, *self.mlp_parameters())

    def density(self, points: torch.Tensor) -> torch.Tensor:
        """Feature density (n,) at normalized points (n, 3), see `kernels.density`."""
        return kernels.density(points, self.transforms())

    def mlp_parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
        """Weights (out, in) and biases (out,) per layer; None where the layers have no bias."""
        parameters = [dict(layer.named_parameters()) for layer in self.layers]
        weights: list[torch.Tensor] = [p["weight"] for p in parameters]
        return weights, [p["bias"] for p in parameters] if self.config.bias else None

    def learned(self) -> kernels.Learned:
        """The parameters as a fit wants them, see `kernels.fit_state`."""
        placement: list[torch.Tensor] = list(self.placement.parameters())
        return kernels.Learned(self.placement.kind, placement, self.transforms, self.grids, *self.mlp_parameters())

    def parameter_count(self) -> int:
        """Number of learned values."""
        return sum(p.numel() for p in self.parameters())


class AMGSRNField(Field):
    """A network as a field, scaled to data units. It keeps the parameters that the network has now.

    Attributes:
        network: the network.
        scaling: (value at output 0, value at output 1) of each component.
    """

    def __init__(self, network: AMGSRN, domain: Domain, array: ArrayInfo, scaling: Ranges | None = None) -> None:
        """Give `scaling` where it is not the ranges of the array."""
        self.network = network
        self.domain = domain
        self.array = array
        self.scaling = scaling or array.ranges
        low, high = torch.tensor(self.scaling, dtype=torch.float64, device=network.grids.device).unbind(1)
        self._low, self._span = low.float(), (high - low).float()
        self._evaluate = kernels.evaluator(network.transforms(), network.grids, *network.mlp_parameters())

    @property
    def device(self) -> torch.device:
        return self.network.grids.device

    @property
    def is_threaded(self) -> bool:
        return kernels.chosen_backend(self.device.type)[0] == "cpu"

    @torch.inference_mode()
    def sample(self, points: torch.Tensor) -> torch.Tensor:
        return self._in_data_units(self._evaluate(points))

    @torch.inference_mode()
    def sample_for_display(self, points: torch.Tensor) -> torch.Tensor:
        return self._in_data_units(self._evaluate(points, fast=True))

    def _in_data_units(self, values: torch.Tensor) -> torch.Tensor:
        return values.mul_(self._span).add_(self._low)

    @torch.inference_mode()
    def sample_with_gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, gradients = self._evaluate.value_and_gradient(points)
        return self._in_data_units(values), gradients.mul_(self._span.unsqueeze(1))
