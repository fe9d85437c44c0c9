# SPDX-License-Identifier: BSD-3-Clause
"""Everything that decides what a fit gives, besides the volume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .errors import InvalidOption
from .recipes import RECIPES, DensityRecipe, FastRecipe, PaperRecipe, Recipe

PRECISIONS = ("auto", "half", "single")
# float32 does not resolve more of a value range.
_MOST_DB = 140.0


@dataclass(frozen=True)
class FitSettings:
    """What a fit is asked for; equal settings and equal volumes give equal models on one machine, unless time limits
    them.

    Attributes:
        preset: name of the network's size; None where `target_size` decides about it.
        recipe: with its numbers.
        transform: form of the placement, 'matrix' or 'srt'.
        seed: of initialisation and samples.
        placement: how grids are placed before training, see `placement.METHODS`.
        time_budget: seconds of training at most; the recipe's schedule is stretched or shortened to it.
        target_psnr: dB at which a fit is good enough; the network grows until it is.
        target_size: bytes of the model file at most.
        precision: of the stored features: 'half', 'single', or 'auto' for half where that costs next to nothing.
        early_stop: let the rate fall as soon as there is nothing left to be learned, see `plateau`.
    """

    preset: str | None
    recipe: Recipe
    transform: str = "matrix"
    seed: int = 0
    placement: str = "identity"
    time_budget: float | None = None
    target_psnr: float | None = None
    target_size: int | None = None
    precision: str = "auto"
    early_stop: bool = False

    @classmethod
    def of(
        cls,
        preset: str | None = None,
        recipe: str = "fast",
        transform: str | None = None,
        steps: int | None = None,
        batch: int | None = None,
        seed: int = 0,
        placement: str | None = None,
        time_budget: float | None = None,
        target_psnr: float | None = None,
        target_size: int | None = None,
        precision: str = "auto",
        early_stop: bool = False,
    ) -> FitSettings:
        """Settings from names; `transform`, `placement`, `steps` and `batch` replace the recipe's own, and the preset is
        'small' where nothing else decides. `early_stop` is for the fast recipe without a target; others have their own.

        Raises:
            InvalidOption: a number that makes no sense, or options that contradict each other.
        """
        for name, value, least in (("--steps", steps, 1), ("--batch", batch, 1), ("--seed", seed, 0)):
            if value is not None and not least <= value < 2**63:
                raise InvalidOption(f"{name} {value} makes no sense; give a whole number from {least}")
        if target_psnr is not None and not 0 < target_psnr <= _MOST_DB:
            raise InvalidOption(f"--target-psnr {target_psnr:g} makes no sense; give dB above 0, up to {_MOST_DB:g}")
        if target_psnr is not None and recipe != "fast":
            raise InvalidOption(
                f"--target-psnr goes with --recipe fast, not with {recipe}: its schedule has a fixed end"
            )
        if target_size is not None and preset is not None:
            raise InvalidOption(f"--target-size and --preset {preset} both choose the network's size; give one of them")
        if placement == "density" and recipe != "fast":
            raise InvalidOption(
                f"--placement density goes with --recipe fast; {recipe} moves its grids that way anyway"
            )
        if placement == "iterative" and recipe != "fast":
            raise InvalidOption(f"--placement iterative goes with --recipe fast; {recipe} moves its grids its own way")
        chosen: Recipe = DensityRecipe() if placement == "density" else RECIPES[recipe]()
        if isinstance(chosen, FastRecipe) and preset in ("medium", "large"):
            chosen = replace(chosen, steps=chosen.larger_steps, batch=chosen.larger_batch)
        if steps is not None:
            chosen = replace(chosen, steps=steps)
        elif time_budget is not None and target_psnr is None and not isinstance(chosen, PaperRecipe):
            # The paper's schedule counts steps; and fits with a target go step by step, through one schedule after the
            # other, until the time is up.
            chosen = replace(chosen, steps=None)
        if batch is not None:
            chosen = replace(chosen, batch=batch)
        return cls(
            preset=preset or ("small" if target_size is None else None),
            recipe=chosen,
            transform=transform or chosen.transform,
            seed=seed,
            placement=placement or chosen.placement,
            time_budget=time_budget,
            target_psnr=target_psnr,
            target_size=target_size,
            precision=precision,
            early_stop=early_stop and recipe == "fast" and target_psnr is None,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "preset": self.preset,
            "transform": self.transform,
            "seed": self.seed,
            "placement": self.placement,
            "time_budget": self.time_budget,
            "target_psnr": self.target_psnr,
            "target_size": self.target_size,
            "precision": self.precision,
            # What older fits do not know is not said of fits without it.
            **({"early_stop": True} if self.early_stop else {}),
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
