# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amgsrn_core import ArrayInfo, Axis, Domain
from amgsrn_core.kernels import reference_sampling
from amgsrn_core.models import ConstantField, Mask, MaskedField
from amgsrn_core.storage.masks import decode_mask, encode_mask, may_hold

SHAPES = st.tuples(st.integers(2, 21), st.integers(2, 19), st.integers(2, 20))


@st.composite
def validities(draw: st.DrawFn) -> np.ndarray:
    """Gaps of all sizes: none, single nodes, boxes, everything."""
    z, y, x = draw(SHAPES)
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    kind = draw(st.sampled_from(["noise", "half", "full", "empty", "box"]))
    if kind == "noise":
        return random.random((z, y, x)) < draw(st.floats(0.05, 0.95))
    valid = np.full((z, y, x), kind != "empty")
    if kind == "half":
        valid[..., x // 2 :] = False
    if kind == "box":
        low, high = np.sort(random.integers(0, [[z], [y], [x]], size=(3, 2)), axis=1).T
        valid[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] = False
    return valid


def normalized_nodes(shape: tuple[int, int, int]) -> torch.Tensor:
    z, y, x = (torch.linspace(-1.0, 1.0, n, dtype=torch.float64) for n in shape)
    grid = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack(grid[::-1], dim=3).reshape(-1, 3).float()


@given(validities())
def test_a_mask_is_exact_at_the_nodes(valid: np.ndarray) -> None:
    mask = Mask.of(valid)
    assert np.array_equal(mask.nodes(), valid)
    assert np.array_equal(mask.valid(normalized_nodes(mask.shape)).numpy(), valid.reshape(-1))


@given(validities(), st.integers(0, 2**31))
def test_between_nodes_interpolated_validity_decides(valid: np.ndarray, seed: int) -> None:
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(seed)) * 2.4 - 1.2
    values = torch.from_numpy(valid).double().unsqueeze(3)
    share = reference_sampling.sample_volume(values, points.double().clamp(-1.0, 1.0)).squeeze(1)
    sure = (share - 0.5).abs() > 1e-4
    assert torch.equal(Mask.of(valid).valid(points)[sure], (share >= 0.5)[sure])


def test_points_that_are_not_numbers_do_no_harm() -> None:
    points = torch.tensor([[torch.nan, 0.0, 0.0], [-torch.inf, torch.inf, torch.nan], [-1.0, -1.0, -1.0]])
    valid = np.random.default_rng(0).random((9, 17, 20)) < 0.5
    assert bool(Mask.of(valid).valid(points)[2]) == valid[0, 0, 0]


@given(validities())
def test_masks_come_back_from_their_tensors(valid: np.ndarray) -> None:
    entry, content = encode_mask(Mask.of(valid))
    assert entry["shape"] == list(valid.shape)
    assert content.dtype == torch.uint8
    packed = decode_mask(content, valid.shape)
    z, y, x = valid.shape
    assert np.array_equal(Mask((z, y, x), lambda: packed).nodes(), valid)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 50,
        zlib.compress(bytes(124)),
        zlib.compress(bytes(126)),
        zlib.compress(bytes(10**8)),
        zlib.compress(bytes(125))[:-3],
        zlib.compress(bytes(125)) + b"more",
    ],
    ids=["nothing", "no stream", "too short", "too long", "a bomb", "cut off", "more behind it"],
)
def test_what_is_no_mask_of_that_shape_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="mask"):
        decode_mask(torch.frombuffer(bytearray(content or b"\x00"), dtype=torch.uint8)[: len(content)], (10, 10, 10))


def test_absurd_shapes_are_refused_before_anything_is_decoded() -> None:
    content = torch.frombuffer(bytearray(zlib.compress(bytes(100))), dtype=torch.uint8)
    with pytest.raises(ValueError, match="cannot be of"):
        decode_mask(content, (2**31, 2**31, 2**31))
    assert may_hold((1000, 1000, 1000), len(zlib.compress(bytes(125_000_000), 9)))


def test_large_masks_take_memory_for_their_border_only() -> None:
    z, y, x = np.ogrid[-1:1:160j, -1:1:170j, -1:1:180j]
    valid = x * x + y * y + z * z < 0.5
    mask = Mask.of(valid)
    assert mask.bytes < 0.25 * valid.size
    assert encode_mask(mask)[1].numel() < valid.size / 100


def masked(array: ArrayInfo, values: tuple[float, ...]) -> MaskedField:
    valid = np.ones((3, 3, 3), dtype=bool)
    valid[:, :, 0] = False
    domain = Domain((Axis.uniform(3), Axis.uniform(3), Axis.uniform(3)))
    return MaskedField(ConstantField(values, domain, array), Mask.of(valid))


def test_gaps_have_no_value_and_no_gradient() -> None:
    field = masked(ArrayInfo("v", components=2), (3.0, 4.0))
    points = torch.tensor([[-1.0, 0.0, 0.0], [-0.6, 0.3, 0.1], [-0.4, 0.0, 0.0], [1.0, 1.0, 1.0]])
    expected = torch.tensor([[torch.nan] * 2] * 2 + [[3.0, 4.0]] * 2)
    assert field.has_gaps
    for values in (field.sample(points), field.sample_for_display(points), field.sample_with_gradient(points)[0]):
        assert torch.equal(values.isnan(), expected.isnan())
        assert torch.equal(values[2:], expected[2:])
    assert torch.equal(field.sample_with_gradient(points)[1], torch.zeros(4, 2, 3))
    assert field.sample(points[:0]).shape == (0, 2)
    assert field.sample(points[:1]).isnan().all()


def test_a_constant_without_values_is_all_gap() -> None:
    domain = Domain((Axis.uniform(3), Axis.uniform(3), Axis.uniform(3)))
    field = ConstantField(None, domain, ArrayInfo("v", components=3))
    assert field.has_gaps
    assert field.sample(torch.zeros(4, 3)).isnan().all()
    assert field.sample(torch.zeros(4, 3)).shape == (4, 3)
