# SPDX-License-Identifier: BSD-3-Clause
"""Networks that learn in lock step: each as it would alone, in PyTorch and with the GPU kernels."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import away_from_kinks

from amgsrn_core import kernels
from amgsrn_core.kernels import AdamSettings, BatchedFit, Rates, reference
from amgsrn_core.kernels.fitting import TorchFit
from amgsrn_core.models import AMGSRN, AMGSRNConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # see test_gpu_kernels.py
pytest.importorskip("triton")
ops = importlib.import_module("amgsrn_core.kernels.gpu.ops")
GpuBatchedFit = importlib.import_module("amgsrn_core.kernels.gpu.batched_fit").GpuBatchedFit

# With a larger epsilon than training has, steps depend smoothly on gradients, and can be compared number by number.
SMOOTH = AdamSettings(eps=1e-3)
few_examples = settings(max_examples=4)

Batch = tuple[torch.Tensor, torch.Tensor, list[int]]


@st.composite
def configs(draw: st.DrawFn) -> AMGSRNConfig:
    return AMGSRNConfig(
        grids=draw(st.integers(1, 9)),
        channels=draw(st.integers(1, 3)),
        resolution=draw(st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(2, 6))),
        hidden=tuple(draw(st.lists(st.integers(1, 40), max_size=3))),
        outputs=draw(st.integers(1, 3)),
        transform=draw(st.sampled_from(["matrix", "srt"])),
        bias=draw(st.booleans()),
    )


def some_networks(config: AMGSRNConfig, count: int, device: str = "cpu") -> list[AMGSRN]:
    made = []
    for seed in range(count):
        network, generator = AMGSRN(config, seed), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            network.grids.normal_(generator=generator)
            for parameter in network.placement.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        made.append(network.to(device))
    return made


def batches(networks: Sequence[AMGSRN], sizes: Sequence[int], seed: int) -> Batch:
    """Points, targets and how many of them count; fewer than asked for where some would be at kinks."""
    generator = torch.Generator().manual_seed(seed)
    longest, outputs = max(*sizes, 1), networks[0].config.outputs
    points = torch.rand(len(networks), longest, 3, generator=generator) * 2.2 - 1.1
    counts = []
    for row, (network, size) in enumerate(zip(networks, sizes, strict=True)):
        with torch.no_grad():
            copy = AMGSRN(network.config).double()
            copy.load_state_dict(network.state_dict())
            good = away_from_kinks(points[row, :size], copy.transforms(), copy.grids, *copy.mlp_parameters())
        points[row, : len(good)] = good
        points[row, len(good) :] = torch.nan  # not to be looked at
        counts.append(len(good))
    return points, torch.rand(len(networks), longest, outputs, generator=generator), counts


def twin(networks: Sequence[AMGSRN]) -> BatchedFit:
    return BatchedFit([n.learned() for n in networks], SMOOTH, reference.mean_squared_error)


def on_gpu(networks: Sequence[AMGSRN]) -> BatchedFit:
    return GpuBatchedFit([n.learned() for n in networks], SMOOTH, ops.mean_squared_error)


def assert_moved_alike(
    networks: Sequence[AMGSRN], others: Sequence[AMGSRN], before: Sequence[AMGSRN], tolerance: float
) -> None:
    """Parameters have moved by the same, relative to the largest move of each."""
    for network, other, old in zip(networks, others, before, strict=True):
        rows = zip(network.named_parameters(), other.parameters(), old.parameters(), strict=True)
        for (name, parameter), expected, start in rows:
            moved, should = (p.detach().cpu().double() - start.detach().double() for p in (parameter, expected))
            assert float((moved - should).abs().max()) <= tolerance * float(should.abs().max()) + 1e-6 * (
                tolerance > 1e-9
            ), name


# One of them rests in a step, one does not move its grids in another.
RATES = [
    [Rates(1e-2, 5e-3, 1e-3), Rates(2e-2, 1e-3, 5e-4), Rates(1e-3, 1e-3, 1e-3)],
    [Rates(1e-2, 5e-3, 1e-3), Rates(2e-2, 1e-3, 0.0), Rates(1e-3, 1e-3, 1e-3)],
    [Rates(1e-2, 5e-3, 0.0), Rates(2e-2, 1e-3, 0.0), Rates(1e-3, 1e-3, 0.0)],
]
SIZES = [[60, 40, 17], [33, 60, 0], [1, 60, 60]]


@given(configs(), st.integers(0, 2**31))
def test_the_twin_trains_each_network_as_it_would_alone(config: AMGSRNConfig, seed: int) -> None:
    together = [network.double() for network in some_networks(config, 3)]
    alone, before = ([network.double() for network in some_networks(config, 3)] for _ in range(2))
    state, states = twin(together), [TorchFit(n.learned(), SMOOTH, reference.mean_squared_error) for n in alone]
    for step, (rates, sizes) in enumerate(zip(RATES, SIZES, strict=True)):
        points, targets, counts = batches(together, sizes, seed + step)
        losses = state.step(points.double(), targets.double(), rates, counts)
        for row, count in enumerate(counts):
            if not count:
                assert bool(losses[row].isnan())
                continue
            loss = states[row].step(points[row, :count].double(), targets[row, :count].double(), rates[row])
            assert float(losses[row]) == pytest.approx(float(loss), rel=1e-12)
    assert_moved_alike(together, alone, before, 1e-9)
    for network, other, single in zip(together, alone, states, strict=True):
        for parameter, exact in zip(network.parameters(), other.parameters(), strict=True):
            found, expected = state.moments(parameter), single.moments(exact)
            assert found["exp_avg"].shape == parameter.shape
            for name, tensor in expected.items():
                torch.testing.assert_close(found[name].double(), tensor.double(), rtol=1e-9, atol=1e-12)


@few_examples
@given(configs(), st.integers(0, 2**31))
def test_the_kernels_equal_the_twin(config: AMGSRNConfig, seed: int) -> None:
    mine, exact = some_networks(config, 3, DEVICE), [network.double() for network in some_networks(config, 3)]
    states = on_gpu(mine), twin(exact)
    for step, (rates, sizes) in enumerate(zip(RATES, SIZES, strict=True)):
        points, targets, counts = batches(exact, sizes, seed + step)
        losses = states[0].step(points.to(DEVICE), targets.to(DEVICE), rates, counts)
        expected = states[1].step(points.double(), targets.double(), rates, counts)
        torch.testing.assert_close(losses.cpu().double(), expected, rtol=1e-4, atol=1e-7, equal_nan=True)
    assert_moved_alike(mine, exact, some_networks(config, 3), 1e-3)


@pytest.mark.parametrize("make", [twin, on_gpu])
def test_a_frozen_network_does_not_change_and_the_others_do_not_notice(
    make: Callable[[Sequence[AMGSRN]], BatchedFit],
) -> None:
    config = AMGSRNConfig(5, 2, (3, 4, 5), (8, 8), transform="srt")
    two, three = some_networks(config, 2, DEVICE), some_networks(config, 3, DEVICE)
    states = make(two), make(three)
    points, targets = torch.rand(3, 40, 3, device=DEVICE), torch.rand(3, 40, 1, device=DEVICE)
    for state, rows in zip(states, (2, 3), strict=True):
        state.step(points[:rows], targets[:rows], RATES[0][:rows])
    states[1].freeze(2)
    assert states[1].frozen == {2}
    kept = {name: tensor.clone() for name, tensor in three[2].state_dict().items()}
    for _ in range(2):
        losses = states[1].step(points, targets, RATES[0])
        expected = states[0].step(points[:2], targets[:2], RATES[0][:2])
        assert bool(losses[2].isnan())
        torch.testing.assert_close(losses[:2], expected)
    for name, tensor in three[2].state_dict().items():
        assert torch.equal(tensor, kept[name]), name
    for network, other in zip(two, three, strict=False):
        for tensor, same in zip(network.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(tensor, same)
    states[1].freeze(0)
    states[1].freeze(1)
    assert bool(states[1].step(points, targets, RATES[0]).isnan().all())


@pytest.mark.slow
def test_the_kernels_train_each_network_as_they_would_alone() -> None:
    """20 steps, in which the networks learn something."""
    config = AMGSRNConfig(6, 2, (5, 5, 5), (16,), transform="srt")
    together, alone = some_networks(config, 2, DEVICE), some_networks(config, 2, DEVICE)
    state, adam = kernels_state(together), AdamSettings((0.8, 0.99))
    states = [TorchFit(n.learned(), adam, ops.mean_squared_error) for n in alone]
    generator, rates = torch.Generator().manual_seed(0), Rates(0.02, 0.0035, 3e-4)
    curve = []
    for _ in range(20):
        points = (torch.rand(2, 32, 3, generator=generator) * 2 - 1).to(DEVICE)
        targets = torch.sin(2 * points).prod(dim=2, keepdim=True)
        losses = state.step(points, targets, [rates, rates])
        expected = torch.stack([s.step(p, t, rates) for s, p, t in zip(states, points, targets, strict=True)])
        torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-6)
        curve.append(float(losses.mean()))
    assert sum(curve[-5:]) < 0.5 * sum(curve[:5])


def kernels_state(networks: Sequence[AMGSRN]) -> BatchedFit:
    """What `batched_fit_state` makes where Triton is to work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMGSRN_KERNELS", "triton")
        state = kernels.batched_fit_state([n.learned() for n in networks], AdamSettings((0.8, 0.99)))
    assert isinstance(state, GpuBatchedFit)
    return state


def test_networks_see_what_they_have_learned() -> None:
    networks = some_networks(AMGSRNConfig(2, 1, (3, 3, 3), (4,)), 2)
    state = kernels.batched_fit_state([n.learned() for n in networks])
    points, targets = torch.rand(2, 30, 3) - 0.5, torch.rand(2, 30, 1)
    losses = state.step(points, targets, [Rates(0.01, 0.01, 0.01)] * 2)
    after = [float((n(p) - t).square().mean().detach()) for n, p, t in zip(networks, points, targets, strict=True)]
    assert all(now < float(then) for now, then in zip(after, losses, strict=True))


def test_networks_of_different_architecture_do_not_learn_together() -> None:
    networks = [AMGSRN(AMGSRNConfig(2, 1, (3, 3, 3), (width,))).learned() for width in (4, 5)]
    with pytest.raises(ValueError, match="not networks of one architecture"):
        kernels.batched_fit_state(networks)
