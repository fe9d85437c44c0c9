# SPDX-License-Identifier: BSD-3-Clause
"""Training steps of the compiled kernels against the reference in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from networks import away_from_kinks

from amgsrn_core import kernels
from amgsrn_core.kernels import AdamSettings, Learned, Rates, cpu, reference
from amgsrn_core.kernels.cpu_fit import CpuFit
from amgsrn_core.kernels.fitting import FitState, TorchFit
from amgsrn_core.models import AMGSRN, AMGSRNConfig

LIBRARY, STATE = cpu.load()
needs_library = pytest.mark.skipif(LIBRARY is None, reason=f"CPU kernels: {STATE}")

# With a larger epsilon than training has, steps depend smoothly on gradients, and can be compared number by number.
SMOOTH = AdamSettings(eps=1e-3)


def compiled(learned: Learned, adam: AdamSettings, fast: bool) -> FitState:
    assert LIBRARY is not None
    return CpuFit(LIBRARY, learned, adam, fast)


def twin(learned: Learned, adam: AdamSettings) -> FitState:
    return TorchFit(learned, adam, reference.mean_squared_error)


@st.composite
def configs(draw: st.DrawFn) -> AMGSRNConfig:
    return AMGSRNConfig(
        grids=draw(st.integers(1, 6)),
        channels=draw(st.integers(1, 5)),
        resolution=draw(st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 9))),
        hidden=tuple(draw(st.lists(st.integers(1, 40), max_size=3))),
        outputs=draw(st.integers(1, 4)),
        transform=draw(st.sampled_from(["matrix", "srt"])),
        bias=draw(st.booleans()),
    )


def network(config: AMGSRNConfig, seed: int) -> AMGSRN:
    result = AMGSRN(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        result.grids.normal_(generator=generator)
        for parameter in result.placement.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return result


def batch(config: AMGSRNConfig, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    points = torch.rand(count, 3, generator=generator) * 2.2 - 1.1
    return points, torch.rand(count, config.outputs, generator=generator)


@needs_library
@given(configs(), st.integers(1, 300), st.integers(0, 2**31), st.sampled_from([0.0, 1e-3]), st.integers(1, 3))
def test_a_step_equals_the_reference(
    config: AMGSRNConfig, count: int, seed: int, placement_rate: float, threads: int
) -> None:
    mine, exact = network(config, seed), network(config, seed).double()
    states = compiled(mine.learned(), SMOOTH, fast=False), twin(exact.learned(), SMOOTH)
    generator = torch.Generator().manual_seed(seed)
    points, _ = batch(config, count, generator)
    with torch.no_grad():
        points = away_from_kinks(points, mine.transforms(), mine.grids, *mine.mlp_parameters())
    assume(len(points) > 0)
    targets = torch.rand(len(points), config.outputs, generator=generator)
    rates = Rates(1e-2, 5e-3, placement_rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))
        loss = states[0].step(points, targets, rates)
    expected = states[1].step(points.double(), targets.double(), rates)
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    before = network(config, seed)
    for (name, parameter), other, old in zip(
        mine.named_parameters(), exact.parameters(), before.parameters(), strict=True
    ):
        moved, should = (parameter - old).detach(), (other - old.double()).detach()
        assert float((moved - should).abs().max()) <= 1e-4 * float(should.abs().max()) + 1e-6, name
        if name.startswith("placement") and placement_rate == 0:
            assert torch.equal(parameter.detach(), old.detach())
        moments, others = states[0].moments(parameter), states[1].moments(other)
        assert moments["exp_avg"].shape == parameter.shape
        if not (name.startswith("placement") and placement_rate == 0):
            assert float(moments["step"]) == 1
            scale = float(others["exp_avg"].abs().max()) or 1.0
            assert float((moments["exp_avg"] - others["exp_avg"]).abs().max()) <= 1e-4 * scale, name


@needs_library
def test_what_is_around_a_grid_stays_zero() -> None:
    net = network(AMGSRNConfig(grids=3, channels=2, resolution=(4, 5, 6)), 1)
    state = compiled(net.learned(), AdamSettings(), fast=True)
    padded = net.grids.untyped_storage()
    for _ in range(3):
        points, targets = batch(net.config, 500, torch.Generator().manual_seed(2))
        state.step(1.3 * points, targets, Rates(1e-2, 1e-2, 1e-2))
    everything = torch.tensor([], dtype=torch.float32).set_(padded, 0, (3, 8, 7, 6, 2)).clone()
    assert torch.equal(everything[:, 1:-1, 1:-1, 1:-1].movedim(-1, 1), net.grids.detach())
    everything[:, 1:-1, 1:-1, 1:-1] = 0
    assert not everything.any()


@needs_library
@pytest.mark.parametrize(("fast", "within_db"), [(False, 0.01), (True, 0.05)])
@pytest.mark.parametrize("seed", [0, 1])
def test_300_steps_track_the_reference(seed: int, fast: bool, within_db: float) -> None:
    """From the same start and the same samples: in float32 within 0.01 dB, in mixed precision within 0.05 dB."""

    def field(points: torch.Tensor) -> torch.Tensor:
        x, y, z = points.unbind(1)
        return ((torch.sin(5 * x + 2 * y) * torch.cos(4 * z) + 1) / 2).unsqueeze(1)

    mine, exact = AMGSRN(AMGSRNConfig(transform="srt"), seed), AMGSRN(AMGSRNConfig(transform="srt"), seed).double()
    states = compiled(mine.learned(), AdamSettings(), fast), twin(exact.learned(), AdamSettings())
    generator = torch.Generator().manual_seed(seed)
    for step in range(300):
        points = torch.rand(1024, 3, generator=generator) * 2 - 1
        fall = 0.5 * (1 + math.cos(math.pi * step / 300))
        rates = Rates(0.01 * fall, 0.005 * fall, 3e-4 * fall)
        states[0].step(points, field(points), rates)
        states[1].step(points.double(), field(points).double(), rates)
    points = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(99)) * 2 - 1

    @torch.no_grad()
    def psnr(net: AMGSRN) -> float:
        values = kernels.forward(points.to(net.grids.dtype), net.transforms(), net.grids, *net.mlp_parameters())
        return -10 * math.log10(float((values - field(points)).square().mean()))

    assert psnr(exact) > 40
    assert psnr(mine) == pytest.approx(psnr(exact), abs=within_db)
    evaluate = kernels.evaluator(mine.transforms(), mine.grids, *mine.mlp_parameters())
    assert float((evaluate(points, fast=True) - evaluate(points)).abs().max()) < 5e-3  # of the value range


@needs_library
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("hidden", [(), (64,), (64, 64), (33, 50, 70), (256, 128, 256)])
def test_fast_inference_is_right_to_some_thousandths(channels: int, hidden: tuple[int, ...]) -> None:
    config = AMGSRNConfig(16, channels, (5, 6, 7), hidden, outputs=2, bias=channels == 3)
    net = network(config, 1)
    evaluate = kernels.evaluator(net.transforms(), net.grids, *net.mlp_parameters())
    points, _ = batch(config, 2000, torch.Generator().manual_seed(1))
    exact, fast = evaluate(points), evaluate(points, fast=True)
    assert float((fast - exact).abs().max()) < 5e-3 * float(exact.max() - exact.min())
    assert torch.equal(fast, exact) == (len(hidden) < 2 or not cpu.has_bfloat16())


@needs_library
@pytest.mark.parametrize("hidden", [(), (3,), (70, 5)])
def test_more_outputs_than_any_layer_has_inputs(hidden: tuple[int, ...]) -> None:
    config = AMGSRNConfig(2, 1, (5, 6, 7), hidden, outputs=203)
    points, targets = batch(config, 500, torch.Generator().manual_seed(1))
    moved = []
    for fast in (False, True):
        net = network(config, 1)
        compiled(net.learned(), SMOOTH, fast).step(points, targets, Rates(1e-2, 5e-3, 1e-3))
        moved.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    start = torch.cat([p.detach().flatten() for p in network(config, 1).parameters()])
    assert float((moved[0] - moved[1]).norm()) < 0.02 * float((moved[0] - start).norm())
