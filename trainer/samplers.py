# SPDX-License-Identifier: BSD-3-Clause
"""The choice of a sampler."""

from __future__ import annotations

from amgsrn_core.models import AMGSRN

from .importance import ImportanceSampler
from .mesh_sampling import MeshSampler
from .sampling import Sampler, UniformSampler
from .settings import FitSettings
from .volumes import Volume


def make_sampler(volume: Volume, settings: FitSettings, network: AMGSRN) -> Sampler:
    """The sampler that a recipe asks for, and that suits volume and network."""
    recipe = settings.recipe
    if volume.mesh is not None:
        return MeshSampler(volume, recipe.batch, settings.seed, follow=recipe.sampling != "uniform")
    if recipe.sampling == "uniform":
        return UniformSampler(volume, recipe.batch, settings.seed)
    # As many parameters as values could be right at the nodes and anything between them.
    nodes = 2 * network.parameter_count() < volume.valid
    return ImportanceSampler(volume, recipe.batch, settings.seed, nodes)
