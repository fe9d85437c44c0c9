# SPDX-License-Identifier: BSD-3-Clause
"""How large a network's file is, and which network fits into a file."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core import ArrayInfo, Axis, Domain
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField
from amgsrn_core.storage import save_field
from trainer.errors import TargetSizeTooSmall
from trainer.fields import Fields
from trainer.presets import PRESETS
from trainer.recipes import PaperPlusRecipe
from trainer.settings import FitSettings
from trainer.sizing import file_size, first_network, largest_network, matching_resolution, resolution_within

DOMAIN = Domain((Axis.uniform(9), Axis.uniform(8), Axis.rectilinear([0.0, 1.5, 2.0, 3.25])))
ARRAY = ArrayInfo("density", "kg m-3", (0.0, 1.0))
TRAINING = {"note": "x" * 300}


def size_of(config, half=True):
    return file_size(config, Fields(DOMAIN, ARRAY), TRAINING, half)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize(("channels", "resolution"), [(1, (16, 16, 16)), (2, (31, 16, 5)), (4, (2, 2, 2))])
def test_sizes_are_those_of_files(tmp_path, half, channels, resolution):
    config = AMGSRNConfig(channels=channels, resolution=resolution, transform="srt")
    path = tmp_path / "m.amgsrn"
    save_field(path, AMGSRNField(AMGSRN(config), DOMAIN, ARRAY), TRAINING, half)
    assert path.stat().st_size <= size_of(config, half) < path.stat().st_size + 200


@given(st.integers(30_000, 200_000_000), st.booleans())
def test_the_largest_network_lands_a_few_percent_below(limit, half):
    config = largest_network(limit, "srt", (1, 1, 1), lambda c: size_of(c, half))
    assert config.grids == 16
    assert max(config.resolution) - min(config.resolution) <= 2
    size = size_of(config, half)
    assert size <= limit
    # A layer of nodes more would be too much; for small grids that is much.
    assert limit - size <= size / max(2, min(config.resolution) - 2) + 300
    if limit >= 100_000:
        assert size > 0.9 * limit


def test_networks_are_those_of_the_presets_where_the_size_is():
    for preset in PRESETS.values():
        config = preset.config("srt")
        assert largest_network(size_of(config), "srt", (1, 1, 1), size_of) == config


def test_too_small_to_be_possible_names_the_least():
    with pytest.raises(TargetSizeTooSmall, match="--target-size 1000 is too small") as caught:
        largest_network(1000, "srt", (1, 1, 1), size_of)
    least = int(str(caught.value).split()[-2])
    assert largest_network(least, "srt", (1, 1, 1), size_of).resolution == (2, 2, 2)
    with pytest.raises(TargetSizeTooSmall):
        largest_network(least - 1, "srt", (1, 1, 1), size_of)


@given(st.integers(8, 10**6), st.tuples(*[st.integers(2, 1000)] * 3))
def test_resolutions(nodes, proportions):
    resolution = resolution_within(nodes, proportions)
    assert math.prod(resolution) <= nodes
    for axis in range(3):
        assert resolution[axis] >= 2
        assert math.prod(resolution) // resolution[axis] * (resolution[axis] + 1) > nodes, "one more along an axis"


def test_resolutions_have_the_wanted_proportions():
    assert resolution_within(32**3, (1, 1, 1)) == (32, 32, 32)
    x, y, z = resolution_within(64_000, (100, 50, 200))
    assert x / y == pytest.approx(2, rel=0.1)
    assert z / x == pytest.approx(2, rel=0.1)


def test_matching_the_volume_by_the_authors_formula():
    # (16^3 / (96 96 192))^(1/3) = 16 / 120.95 ...; 96 of them are 12.7, 192 are 25.4.
    assert matching_resolution(16, (96, 96, 192)) == (13, 13, 26)
    assert matching_resolution(32, (128, 128, 128)) == (32, 32, 32)
    assert matching_resolution(16, (1000, 1000, 2)) == (127, 127, 2)


def test_what_a_fit_begins_with():
    nodes = (96, 96, 192)
    assert first_network(FitSettings.of(), nodes, size_of).resolution == (16, 16, 16)
    assert first_network(FitSettings.of("medium"), nodes, size_of) == PRESETS["medium"].config("srt")
    assert first_network(FitSettings.of(recipe="paper++"), nodes, size_of).resolution == (13, 13, 26)
    sized = FitSettings.of(recipe="paper++", target_size=200_000)
    assert isinstance(sized.recipe, PaperPlusRecipe)
    x, _, z = first_network(sized, nodes, size_of).resolution
    assert z / x == pytest.approx(2, rel=0.15)
    # With a target quality the network is to grow, and a size only limits that.
    assert first_network(FitSettings.of(target_psnr=40.0, target_size=10**6), nodes, size_of).resolution == (16, 16, 16)
    assert size_of(first_network(FitSettings.of(target_psnr=40.0, target_size=60_000), nodes, size_of)) <= 60_000


def test_grids_may_have_proportions_of_their_own():
    nodes, flat = (96, 96, 96), (2.0, 2.0, 0.25)
    assert first_network(FitSettings.of(), nodes, size_of, flat).resolution == (32, 32, 4)
    assert first_network(FitSettings.of("medium"), nodes, size_of, flat).resolution == (64, 64, 8)
    sized = first_network(FitSettings.of(target_size=150_000), nodes, size_of, flat)
    assert sized.resolution[0] > 28
    assert sized.resolution[2] in (3, 4)
    assert 0.9 * 150_000 < size_of(sized) <= 150_000
