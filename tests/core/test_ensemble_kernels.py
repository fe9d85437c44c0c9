# SPDX-License-Identifier: BSD-3-Clause
"""Ensembles: the compiled kernels against the reference in double precision, the reference against the paper's loop and
differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ensembles import Ensemble, ensembles, small_ensemble
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import away_from_kinks

from amgsrn_core import kernels
from amgsrn_core.kernels import Member, cpu, cpu_ensemble, reference, reference_ensemble
from amgsrn_core.partition import Partition

LIBRARY, STATE = cpu.load()
needs_library = pytest.mark.skipif(LIBRARY is None, reason=f"CPU kernels: {STATE}")
BACKENDS = ["reference", *(["cpu"] if LIBRARY is not None else [])]


def native(ensemble: Ensemble) -> cpu_ensemble.Evaluator:
    assert LIBRARY is not None
    return cpu_ensemble.Evaluator(LIBRARY, ensemble.partition, ensemble.members(), len(ensemble.bricks[0]["shift"]))


def smooth_points(ensemble: Ensemble, points: torch.Tensor) -> torch.Tensor:
    """Points at which round-off cannot change a gradient: in the kinks of no network that takes part, away from steps."""
    partition = ensemble.partition
    for axis in range(3):
        for start in partition.blend_starts(axis):
            points = points[(points[:, axis] - start).abs() > 1e-5]
    for brick, member in enumerate(ensemble.double()):
        if member.network is not None and len(points):
            counts = partition.weights(points.double(), brick) > 0
            local = partition.to_local(points[counts].double(), brick)
            kept = {tuple(p) for p in away_from_kinks(local, *member.network).tolist()}
            fine = torch.ones(len(points), dtype=torch.bool)
            fine[counts] = torch.tensor([tuple(p) in kept for p in local.tolist()], dtype=torch.bool)
            points = points[fine]
    return points


def compare(result: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert result.shape == expected.shape
    if expected.numel():
        scale = float(expected.abs().max()) or 1.0
        np.testing.assert_allclose(result / scale, expected / scale, atol=tolerance)


@needs_library
@given(ensembles(), st.integers(0, 700), st.integers(0, 2**31), st.integers(1, 3))
def test_values_equal_the_reference(ensemble: Ensemble, count: int, seed: int, threads: int) -> None:
    points, outputs = ensemble.points(count, seed), len(ensemble.bricks[0]["shift"])
    expected = reference_ensemble.values(points.double(), ensemble.partition, ensemble.double(), outputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))
        evaluate = native(ensemble)
        compare(evaluate(points), expected, 2e-5)
        compare(evaluate.partial(points), expected, 2e-5)
        touched = evaluate.touched(points)
    weights = [ensemble.partition.weights(points, brick) for brick in range(ensemble.partition.count)]
    assert set(touched) >= {brick for brick, weight in enumerate(weights) if (weight > 0).any()}


@needs_library
@settings(max_examples=50)
@given(ensembles(), st.integers(0, 300), st.integers(0, 2**31), st.integers(1, 3))
def test_gradients_equal_the_reference(ensemble: Ensemble, count: int, seed: int, threads: int) -> None:
    points, outputs = smooth_points(ensemble, ensemble.points(count, seed)), len(ensemble.bricks[0]["shift"])
    expected = reference_ensemble.value_and_gradient(points.double(), ensemble.partition, ensemble.double(), outputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))
        evaluate = native(ensemble)
        for result in (evaluate.value_and_gradient(points), evaluate.partial_value_and_gradient(points)):
            for part, wanted in zip(result, expected, strict=True):
                compare(part, wanted, 1e-4)


@pytest.mark.parametrize("overlap", [0.0, 2.5])
def test_every_instruction_set_equals_the_reference(restricted: str, overlap: float) -> None:
    ensemble = small_ensemble((3, 2, 4), overlap, outputs=2)
    points = smooth_points(ensemble, ensemble.points(3001, 7))
    assert len(points) > 1000
    evaluate = kernels.ensemble_evaluator(ensemble.partition, ensemble.members())
    expected = reference_ensemble.value_and_gradient(points.double(), ensemble.partition, ensemble.double(), 2)
    compare(evaluate(points), expected[0], 2e-5)
    for part, wanted in zip(evaluate.value_and_gradient(points), expected, strict=True):
        compare(part, wanted, 1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_overlap_it_is_the_papers_loop(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    bricks, points = (4, 2, 3), torch.rand(5000, 3, generator=torch.Generator().manual_seed(2)) * 2 - 1
    ensemble = small_ensemble(bricks, 0.0)
    values = kernels.ensemble_evaluator(ensemble.partition, ensemble.members())(points)
    index = [((points[:, a].double() + 1) / 2 * bricks[a]).floor().long().clamp(0, bricks[a] - 1) for a in range(3)]
    which = index[0] + bricks[0] * (index[1] + bricks[1] * index[2])
    seen = 0
    for brick, member in enumerate(ensemble.members()):
        mine = which == brick
        local = ensemble.partition.to_local(points[mine], brick)
        assert member.network is not None
        expected = reference.forward(local, *member.network) * member.scale + member.shift
        np.testing.assert_allclose(values[mine], expected, atol=3e-5)
        seen += int(mine.sum())
    assert seen == len(points)


@needs_library
@pytest.mark.parametrize("overlap", [0.0, 3.0])
def test_results_do_not_depend_on_threads_or_other_points(monkeypatch: pytest.MonkeyPatch, overlap: float) -> None:
    # More points than a chunk has.
    ensemble, count = small_ensemble((3, 3, 3), overlap), (1 << 18) + 4321
    points, evaluate = ensemble.points(count, 3), native(ensemble)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    values, fast = evaluate(points), evaluate(points, fast=True)
    results = evaluate.value_and_gradient(points[:50_000])
    assert torch.equal(evaluate(points[count - 100 :]), values[count - 100 :])
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert torch.equal(evaluate(points), values)
    assert torch.equal(evaluate(points, fast=True), fast)
    assert torch.equal(evaluate.partial(points).float(), values)
    for again, before in zip(evaluate.value_and_gradient(points[:50_000]), results, strict=True):
        assert torch.equal(again, before)
    compare(fast, values.double(), 1e-2)
    assert torch.equal(fast, values) != cpu.has_bfloat16()


@needs_library
def test_at_most_two_bricks_meet_along_an_axis_whatever_is_rounded() -> None:
    """With the largest overlap one blend ends where the next begins; computed in two ways, that is two numbers here."""
    partition = Partition((6, 3, 3), ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0), (0.0, 1.0, 2.0), (0.0, 2.0)), (0.5, 0.5, 0.0))
    start, end = partition.blend_starts(0)[2], partition.blend_starts(0)[1] + partition.blend_width(0)
    assert start == 0.0 < end
    ensemble = Ensemble(partition, [{"scale": torch.ones(1), "shift": torch.full((1,), k)} for k in torch.arange(10.0)])
    points = torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    assert native(ensemble).touched(points[:1]) == [2, 3]
    assert native(ensemble)(points).tolist() == [[2.0], [7.0]]


@needs_library
def test_one_brick_is_its_network() -> None:
    ensemble = small_ensemble((1, 1, 1), 0.0)
    member, points = ensemble.members()[0], torch.rand(5000, 3) * 2 - 1
    assert member.network is not None
    for fast in (False, True):
        expected = cpu.Evaluator(LIBRARY, *member.network)(points, fast) * member.scale + member.shift
        np.testing.assert_allclose(native(ensemble)(points, fast), expected, atol=1e-6)


@given(ensembles(), st.integers(0, 2**31))
@settings(max_examples=30)
def test_reference_gradients_are_the_limit_of_differences(ensemble: Ensemble, seed: int) -> None:
    points = smooth_points(ensemble, ensemble.points(60, seed)).double()
    setting = ensemble.partition, ensemble.double(), len(ensemble.bricks[0]["shift"])
    values, gradients = reference_ensemble.value_and_gradient(points, *setting)
    np.testing.assert_allclose(values, reference_ensemble.values(points, *setting), atol=1e-12)
    step = 1e-7
    for axis in range(3):
        shift = step * torch.eye(3, dtype=torch.float64)[axis]
        difference = reference_ensemble.values(points + shift, *setting)
        difference -= reference_ensemble.values(points - shift, *setting)
        compare(difference / (2 * step), gradients[..., axis], 1e-4 * (float(gradients.abs().max()) + 1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_continuous_with_overlap_and_jump_without(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    along = torch.linspace(-0.15, 0.15, 20_001)
    points = torch.stack([along, torch.full_like(along, 0.3), torch.full_like(along, -0.2)], dim=1)
    steps = []
    for overlap in (0.0, 2.0):
        ensemble = small_ensemble((2, 2, 2), overlap)
        values = kernels.ensemble_evaluator(ensemble.partition, ensemble.members())(points)
        steps.append(float(values.diff(dim=0).abs().max()))
    assert steps[0] > 0.05
    assert steps[1] < 0.002


@pytest.mark.parametrize("backend", BACKENDS)
def test_parts_of_an_ensemble_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    ensemble = small_ensemble((2, 3, 2), 4.0)
    members, points = ensemble.members(), ensemble.points(20_000, 1)
    whole = kernels.ensemble_evaluator(ensemble.partition, members)
    parts = [
        kernels.ensemble_evaluator(ensemble.partition, [m if k % 3 == part else None for k, m in enumerate(members)])
        for part in (2, 0, 1)
    ]
    total = sum(part.partial(points) for part in parts)
    values, gradients = whole.value_and_gradient(points)
    sums = [part.partial_value_and_gradient(points) for part in parts]
    if backend == "cpu":
        assert torch.equal(total.float(), whole(points))
        assert torch.equal(sum(v for v, _ in sums).float(), values)
        assert torch.equal(sum(g for _, g in sums).float(), gradients)
    else:
        np.testing.assert_allclose(total.float(), whole(points), atol=1e-5)
        np.testing.assert_allclose(sum(g for _, g in sums).float(), gradients, atol=1e-3)
    inside = points[ensemble.partition.weights(points, 0) == 1]
    assert len(inside)
    assert parts[0](inside).abs().max() == 0  # brick 0 is not in the part of brick 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_missing_bricks_do_not_reach_beyond_their_extent(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    ensemble = small_ensemble((2, 1, 1), 4.0)
    ensemble.bricks[1] = {"scale": torch.ones(1), "shift": torch.tensor([float("nan")])}
    start, width = ensemble.partition.blend_starts(0)[0], ensemble.partition.blend_width(0)
    x = torch.tensor([-1.0, start, start + width / 2, start + width, 1.0])
    evaluate = kernels.ensemble_evaluator(ensemble.partition, ensemble.members())
    for values in evaluate(torch.stack([x, x, x], dim=1)), *evaluate.value_and_gradient(torch.stack([x, x, x], dim=1)):
        assert values.flatten(1).isnan().any(dim=1).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_points(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", backend)
    ensemble = small_ensemble((2, 1, 1), 0.0, outputs=2)
    evaluate, none = kernels.ensemble_evaluator(ensemble.partition, ensemble.members()), torch.empty(0, 3)
    assert evaluate(none).shape == (0, 2)
    assert [t.shape for t in evaluate.value_and_gradient(none)] == [(0, 2), (0, 2, 3)]
    assert evaluate.touched(none) == []


@needs_library
def test_features_are_in_memory_once() -> None:
    ensemble = small_ensemble((2, 1, 1), 0.0)
    members = ensemble.members()
    before = [member.network[1].clone() for member in members if member.network is not None]
    assert LIBRARY is not None
    cpu_ensemble.Evaluator(LIBRARY, ensemble.partition, members, 1)
    for member, grids in zip(members, before, strict=True):
        assert member.network is not None
        assert torch.equal(member.network[1], grids)
        assert not member.network[1].is_contiguous()  # a view of what the kernels have


def test_forced_back_ends_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member(torch.ones(1), torch.zeros(1))
    partition = Partition.equal_split((5, 5, 5), (1, 1, 1))
    monkeypatch.setenv("AMGSRN_KERNELS", "reference")
    assert isinstance(kernels.ensemble_evaluator(partition, [member]), reference_ensemble.Evaluator)
    if LIBRARY is not None:
        monkeypatch.setenv("AMGSRN_KERNELS", "cpu")
        assert isinstance(kernels.ensemble_evaluator(partition, [member]), cpu_ensemble.Evaluator)
