# SPDX-License-Identifier: BSD-3-Clause
"""Everything that decides what a fit gives, besides the volume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from amgsrn_core.models import AMGSRNConfig

from .errors import InvalidOption
from .presets import PRESETS
from .recipes import RECIPES, Recipe


@dataclass(frozen=True)
class FitSettings:
    """What a fit is asked for; equal settings and equal volumes give equal models on one machine.

    Attributes:
        preset: name of the network's size.
        recipe: with its numbers.
        transform: form of the placement, 'matrix' or 'srt'.
        seed: of initialisation and samples.
        placement: how grids are placed before training, see `placement.METHODS`.
    """

    preset: str
    recipe: Recipe
    transform: str = "matrix"
    seed: int = 0
    placement: str = "identity"

    @classmethod
    def of(
        cls,
        preset: str = "small",
        recipe: str = "fast",
        transform: str | None = None,
        steps: int | None = None,
        batch: int | None = None,
        seed: int = 0,
        placement: str | None = None,
    ) -> FitSettings:
        """Settings from names; `transform`, `placement`, `steps` and `batch` replace the recipe's own.

        Raises:
            InvalidOption: a number that makes no sense.
        """
        for name, value, least in (("--steps", steps, 1), ("--batch", batch, 1), ("--seed", seed, 0)):
            if value is not None and not least <= value < 2**63:
                raise InvalidOption(f"{name} {value} makes no sense; give a whole number from {least}")
        chosen: Recipe = RECIPES[recipe]()
        if steps is not None:
            chosen = replace(chosen, steps=steps)
        if batch is not None:
            chosen = replace(chosen, batch=batch)
        return cls(preset, chosen, transform or chosen.transform, seed, placement or chosen.placement)

    def config(self) -> AMGSRNConfig:
        """The network's size."""
        return PRESETS[self.preset].config(self.transform)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "preset": self.preset,
            "transform": self.transform,
            "seed": self.seed,
            "placement": self.placement,
            **{("recipe" if key == "name" else key): value for key, value in self.recipe.to_dict().items()},
        }


def difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """How two descriptions of fits differ, in a few words; empty where they do not."""
    parts = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if key == "fingerprint" and before != after:
            parts.append("another volume")
        elif before != after:
            parts.append(f"{key} {before}, not {after}")
    return ", ".join(parts[:4])
