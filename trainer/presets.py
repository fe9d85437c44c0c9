# SPDX-License-Identifier: BSD-3-Clause
"""Named network sizes, as in the paper's evaluation (Wurster et al., table 1): every size has an MLP of 64-64-1
without bias."""

from __future__ import annotations

from dataclasses import dataclass

from amgsrn_core.models import AMGSRNConfig

# Of every preset, and of networks made to fit a size.
GRIDS = 16


@dataclass(frozen=True)
class Preset:
    """A network size.

    Attributes:
        name: what --preset is given.
        description: one line for --help.
        grids: number of feature grids.
        channels: features per grid node.
        resolution: nodes per grid along each axis.
    """

    name: str
    description: str
    grids: int
    channels: int
    resolution: int

    def config(self, transform: str, outputs: int = 1) -> AMGSRNConfig:
        """The network; `transform` is 'matrix' or 'srt', `outputs` the number of values per point."""
        return AMGSRNConfig(self.grids, self.channels, (self.resolution,) * 3, outputs=outputs, transform=transform)


_ALL = (
    Preset("small", "16 grids x 1 x 16^3, 71 thousand parameters, 0.16 MB: seconds to fit", GRIDS, 1, 16),
    Preset("medium", "16 grids x 2 x 32^3, 1.1 million parameters, 2 MB", GRIDS, 2, 32),
    Preset("large", "16 grids x 4 x 64^3, 17 million parameters, 34 MB: for big volumes, best on a GPU", GRIDS, 4, 64),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
