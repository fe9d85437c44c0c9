# SPDX-License-Identifier: BSD-3-Clause
"""The Triton kernels against the reference in double precision: on a GPU where there is one, else in the interpreter."""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Network, away_from_kinks, double, networks

from amgsrn_core import kernels
from amgsrn_core.errors import KernelsUnavailable
from amgsrn_core.kernels import dispatch, reference
from amgsrn_core.kernels.gpu import availability
from amgsrn_core.models import AMGSRN, AMGSRNConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    # Triton reads it when it is imported and when a kernel runs. Elsewhere it is without effect: see the last test but one.
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")
launch = importlib.import_module("amgsrn_core.kernels.gpu.launch")
ops = importlib.import_module("amgsrn_core.kernels.gpu.ops")

# The interpreter takes milliseconds for what a GPU does in nanoseconds.
few_examples = settings(max_examples=12)
# It multiplies the bits of bfloat16 as if they were integers.
needs_bf16 = pytest.mark.skipif(DEVICE == "cpu", reason="Triton's interpreter cannot multiply bfloat16")
FORWARD_TOLERANCE = {"ieee": 1e-5, "tf32": 5e-3, "bf16": 5e-2, "fp16": 5e-3}


def random_points(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2.4 - 1.2


def on_device(network: Network) -> Network:
    transforms, grids, weights, biases = network
    return (
        transforms.to(DEVICE),
        grids.to(DEVICE),
        [w.to(DEVICE) for w in weights],
        biases and [b.to(DEVICE) for b in biases],
    )


def assert_close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Relative to the largest value: features of narrow grids change fast, a point's last bit moves them."""
    assert actual.shape == expected.shape
    if expected.numel():
        scale = float(expected.detach().abs().max()) or 1.0
        np.testing.assert_allclose(
            actual.detach().double().cpu().numpy() / scale, expected.detach().numpy() / scale, atol=tolerance
        )


def gradients_of(
    function: Callable[..., torch.Tensor], network: Network, *arguments: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """A function's values and, for fixed random slopes, its gradients of the first argument and of all parameters."""
    transforms, grids, weights, biases = network
    parameters = [t.requires_grad_() for t in (transforms, grids, *weights, *(biases or ()))]
    first = arguments[0].to(transforms).requires_grad_(len(arguments) == 1)
    values = function(first, *(a.to(transforms) for a in arguments[1:]), transforms, grids, weights, biases)
    slopes = torch.rand(values.shape, generator=torch.Generator().manual_seed(0)).to(values)
    wanted = [first, *parameters] if first.requires_grad else parameters
    return values, list(torch.autograd.grad(values, wanted, slopes))


@few_examples
@given(networks(), st.integers(0, 70), st.integers(0, 2**31))
def test_inference_equals_the_reference(network: Network, count: int, seed: int) -> None:
    points = random_points(count, seed)
    values = ops.Evaluator(*on_device(network))(points.to(DEVICE))
    assert_close(values, reference.forward(points.double(), *double(network)), 1e-5)


def test_fast_inference_is_right_to_some_thousandths() -> None:
    network, points = a_network(3), random_points(70, 4)
    values = ops.Evaluator(*on_device(network))(points.to(DEVICE), fast=True)
    assert_close(values, reference.forward(points.double(), *double(network)), 5e-3)


@few_examples
@given(networks(), st.integers(0, 70), st.integers(0, 2**31))
def test_gradients_equal_the_reference(network: Network, count: int, seed: int) -> None:
    points = away_from_kinks(random_points(count, seed), *network)
    values, gradients = gradients_of(ops.forward, on_device(network), points)
    expected, expected_gradients = gradients_of(reference.forward, double(network), points)
    assert_close(values, expected, 1e-5)
    for actual, exact in zip(gradients, expected_gradients, strict=True):
        assert_close(actual, exact, 1e-4)


@few_examples
@given(networks(), st.integers(1, 70), st.integers(0, 2**31))
def test_the_fused_loss_equals_the_reference(network: Network, count: int, seed: int) -> None:
    points = away_from_kinks(random_points(count, seed), *network)
    if not len(points):
        return
    targets = torch.rand(len(points), len(network[2][-1]), generator=torch.Generator().manual_seed(seed))
    loss, gradients = gradients_of(ops.mean_squared_error, on_device(network), points, targets)
    expected, expected_gradients = gradients_of(reference.mean_squared_error, double(network), points, targets)
    assert_close(loss, expected, 1e-5)
    for actual, exact in zip(gradients, expected_gradients, strict=True):
        assert_close(actual, exact, 1e-4)


@few_examples
@given(st.integers(1, 40), st.sampled_from([0.05, 0.5, 3.0]), st.integers(0, 200), st.integers(0, 2**31))
def test_density_equals_the_reference(grids: int, spread: float, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    transforms = torch.eye(4).repeat(grids, 1, 1)
    transforms[:, :3] += spread * torch.randn(grids, 3, 4, generator=generator)
    points, slopes = random_points(count, seed), torch.rand(count, generator=generator)
    results = []
    for function, dtype, device in ((ops.density, torch.float32, DEVICE), (reference.density, torch.float64, "cpu")):
        matrices = transforms.to(device, dtype).requires_grad_()
        values = function(points.to(matrices), matrices)
        results.append((values, torch.autograd.grad(values, matrices, slopes.to(values))[0]))
    assert_close(results[0][0], results[1][0], 1e-4)  # t^20 makes 20 times a rounding error of t
    assert_close(results[0][1], results[1][1], 1e-3)


def test_density_is_finite_where_powers_are_not() -> None:
    transforms = torch.eye(4, device=DEVICE)[None].requires_grad_()
    densities = ops.density(torch.tensor([[1e30, 0, 0], [0, -300.0, 0], [0, 0, 0]], device=DEVICE), transforms)
    (gradient,) = torch.autograd.grad(densities.sum(), transforms)
    assert densities[:2].tolist() == [0, 0]
    assert bool(gradient.isfinite().all())


def a_network(seed: int, hidden: tuple[int, ...] = (20, 40), outputs: int = 2, bias: bool = True) -> Network:
    """17 grids of 2 channels: more than one tile of features, and one that is not full."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    widths = [34, *hidden, outputs]
    transforms = torch.eye(4).repeat(17, 1, 1)
    transforms[:, :3] += 0.3 * random(17, 3, 4)
    weights = [random(b, a) / a**0.5 for a, b in pairwise(widths)]
    return transforms, random(17, 2, 4, 5, 6), weights, [random(b) for b in widths[1:]] if bias else None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_grids_may_have_half_the_bits(dtype: torch.dtype) -> None:
    transforms, grids, weights, biases = a_network(1)
    rounded = transforms, grids.to(dtype).float(), weights, biases  # exact in both: only gradients are rounded
    points = away_from_kinks(random_points(70, 2), *rounded)
    half = on_device((transforms, grids.to(dtype), weights, biases))
    values, gradients = gradients_of(ops.forward, half, points)
    expected, expected_gradients = gradients_of(reference.forward, double(rounded), points)
    assert_close(values, expected, 1e-5)
    assert gradients[2].dtype == dtype
    for i, (actual, exact) in enumerate(zip(gradients, expected_gradients, strict=True)):
        assert_close(actual, exact, 1e-4 if i != 2 else {torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype])


@pytest.mark.parametrize("precision", ["ieee", "tf32", pytest.param("bf16", marks=needs_bf16), "fp16"])
def test_products_may_be_less_precise(precision: str) -> None:
    network, points = a_network(3), random_points(70, 4)
    values = ops.forward(points.to(DEVICE), *on_device(network), precision=precision)
    assert_close(values, reference.forward(points.double(), *double(network)), FORWARD_TOLERANCE[precision])
    with pytest.raises(ValueError, match="precision must be one of ieee, tf32, bf16, fp16"):
        ops.forward(points.to(DEVICE), *on_device(network), precision="fp8")


@needs_bf16
def test_float16_products_keep_tiny_slopes() -> None:
    """The slopes of a mean over a million points are below what float16 can hold."""
    network, points = a_network(5), random_points(70, 6)

    def scaled(*arguments: Any) -> torch.Tensor:
        return 1e-9 * ops.forward(*arguments, precision="fp16")

    _, gradients = gradients_of(scaled, on_device(network), points)
    _, expected = gradients_of(lambda *a: 1e-9 * reference.forward(*a), double(network), points)
    for actual, exact in zip(gradients, expected, strict=True):
        assert float((actual.cpu() - exact).norm() / exact.norm()) < 0.1


def test_values_and_gradients_for_shading() -> None:
    network = a_network(7)
    points = away_from_kinks(random_points(70, 8), *network)
    values, gradients = ops.Evaluator(*on_device(network)).value_and_gradient(points.to(DEVICE))
    exact = points.double().requires_grad_()
    expected = reference.forward(exact, *double(network))
    assert_close(values, expected, 1e-5)
    for output in range(2):
        (slope,) = torch.autograd.grad(expected[:, output].sum(), exact, retain_graph=True)
        assert_close(gradients[:, output], slope, 1e-4)


def test_far_away_points_are_outside_every_grid() -> None:
    network = torch.eye(4)[None], torch.ones(1, 1, 3, 3, 3), [torch.ones(1, 1)], None
    points = torch.tensor([[1e30, 0, 0], [0, -1e9, 0], [0, 0, 1e19], [0.0, 0, 0]], device=DEVICE)
    assert ops.Evaluator(*on_device(network))(points)[:, 0].tolist() == [0, 0, 0, 1]


def test_grids_with_any_strides() -> None:
    transforms, grids, weights, biases = on_device(a_network(9))
    points, contiguous = random_points(70, 10).to(DEVICE), grids.clone().requires_grad_()
    expected = ops.forward(points, transforms, contiguous, weights, biases)
    (gradient,) = torch.autograd.grad(expected.sum(), contiguous)
    gaps = torch.zeros(*grids.shape[:-1], 2 * grids.shape[-1], device=DEVICE)[..., ::2]
    for other in (grids.contiguous(memory_format=torch.channels_last_3d), gaps.copy_(grids)):
        values = ops.forward(points, transforms, other.requires_grad_(), weights, biases)
        assert torch.equal(values, expected)
        assert_close(torch.autograd.grad(values.sum(), other)[0], gradient.cpu().double(), 1e-6)


def test_only_the_gradients_that_are_wanted_are_computed() -> None:
    transforms, grids, weights, biases = on_device(a_network(11))
    points, targets = random_points(40, 12).to(DEVICE), torch.rand(40, 2, device=DEVICE)
    grids.requires_grad_()
    loss = ops.mean_squared_error(points, targets, transforms, grids, weights, biases)
    loss.backward()
    assert grids.grad is not None
    assert transforms.grad is None
    with torch.no_grad():
        assert not ops.mean_squared_error(points, targets, transforms, grids, weights, biases).requires_grad


@pytest.mark.parametrize("operator", ["forward", "backward", "squared_error", "density", "density_backward"])
def test_operators_are_what_pytorch_expects(operator: str) -> None:
    transforms, grids, weights, biases = on_device(a_network(13, hidden=(8,)))
    points, values = random_points(10, 14).to(DEVICE), torch.rand(10, 2, device=DEVICE)
    if operator in ("forward", "squared_error", "density"):
        for parameter in (transforms, grids, *weights, *(biases or ())):
            parameter.requires_grad_()
    network = transforms, grids, weights, biases, "ieee"
    arguments: tuple[Any, ...] = {
        "forward": (points.clone().requires_grad_(), *network),
        "backward": (values, points, *network, [True, True, True, True]),
        "squared_error": (points, values, *network, [True, True, True]),
        "density": (points, transforms),
        "density_backward": (values[:, 0].contiguous(), points, transforms),
    }[operator]
    # Sums of atomic additions differ in their last bits, on a GPU.
    torch.library.opcheck(getattr(torch.ops.amgsrn, operator).default, arguments, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_training_follows_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 steps of Adam on a known function: the same quality on the way, within 0.01 dB."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 64, 3, generator=generator).to(DEVICE) * 2 - 1
    targets = (0.5 + 0.5 * torch.sin(3 * points).prod(dim=2)).unsqueeze(2)
    curves = []
    for backend in ("triton", "reference"):
        monkeypatch.setenv("AMGSRN_KERNELS", backend)
        network = AMGSRN(AMGSRNConfig(grids=4, resolution=(6, 6, 6), hidden=(16, 16)), seed=1).to(DEVICE)
        adam = torch.optim.Adam(network.parameters(), lr=0.01)
        losses = []
        for batch, truth in zip(points, targets, strict=True):
            adam.zero_grad()
            loss = kernels.mean_squared_error(
                batch, truth, network.transforms(), network.grids, *network.mlp_parameters()
            )
            loss.backward()
            adam.step()
            losses.append(float(loss.detach()))
        curves.append(-10 * np.log10(losses))
    assert curves[1][-1] > curves[1][0] + 3  # it does learn
    np.testing.assert_allclose(*curves, atol=0.01)


def test_dispatch_uses_triton_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = a_network(15), random_points(30, 16)
    transforms, grids, weights, biases = on_device(network)
    monkeypatch.setenv("AMGSRN_KERNELS", "triton")
    assert kernels.chosen_backend(DEVICE)[0] == "triton"
    evaluate = kernels.evaluator(transforms, grids, weights, biases)
    assert isinstance(evaluate, ops.Evaluator)
    expected = reference.forward(points.double(), *double(network))
    before = evaluate(points.to(DEVICE))
    assert_close(before, expected, 1e-5)
    assert_close(kernels.forward(points.to(DEVICE), transforms, grids, weights, biases), expected, 1e-5)
    density = kernels.density(points.to(DEVICE), transforms)
    assert_close(density, reference.density(points.double(), transforms.cpu().double()), 1e-4)
    for tensor in (transforms, grids, *weights):
        tensor.zero_()
    assert torch.equal(evaluate(points.to(DEVICE)), before)


def test_targets_and_points_have_gradients_of_the_loss_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", "triton")
    network = a_network(17)
    points = away_from_kinks(random_points(40, 18), *network)
    targets, results = torch.rand(len(points), 2), []
    for function, parameters in (
        (kernels.mean_squared_error, on_device(network)),
        (reference.mean_squared_error, double(network)),
    ):
        inputs = [t.to(parameters[0]).requires_grad_() for t in (points, targets)]
        results.append(torch.autograd.grad(function(*inputs, *parameters), inputs))
    for actual, exact in zip(*results, strict=True):
        assert_close(actual, exact, 1e-4)


@pytest.mark.parametrize("hidden", [(300,), (8, 8, 8, 8)])
def test_networks_beyond_the_kernels_are_left_to_the_reference(
    monkeypatch: pytest.MonkeyPatch, hidden: tuple[int, ...]
) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", "triton")
    network, points = a_network(19, hidden=hidden), random_points(10, 20)
    with pytest.raises(ValueError, match="not an MLP for 34 features"):
        ops.forward(points.to(DEVICE), *on_device(network))
    assert_close(
        kernels.forward(points.to(DEVICE), *on_device(network)),
        reference.forward(points.double(), *double(network)),
        1e-5,
    )


def test_where_triton_fails_the_reference_works_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AMGSRN_KERNELS", raising=False)
    monkeypatch.setattr(availability, "state", lambda device_type: (False, "Triton 0.0 fails: no C compiler"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    dispatch._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert kernels.chosen_backend("cuda")[0] == "reference"
    assert [r.getMessage().count("no C compiler") for r in caplog.records] == [1]
    monkeypatch.setenv("AMGSRN_KERNELS", "triton")
    with pytest.raises(KernelsUnavailable, match=r"AMGSRN_KERNELS=triton cannot be used: Triton 0\.0 fails"):
        kernels.chosen_backend("cuda")


def test_forcing_triton_leaves_the_cpu_its_own_kernels_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "state", lambda device_type: (device_type == "cuda", device_type))
    monkeypatch.setenv("AMGSRN_KERNELS", "triton")
    assert kernels.chosen_backend("cuda") == ("triton", "cuda")
    assert kernels.chosen_backend("cpu")[0] in ("cpu", "reference")


def python(script: str, **environment: str) -> str:
    """What a script prints in an interpreter of its own, without Triton's interpreter unless asked for."""
    variables = {k: v for k, v in os.environ.items() if k not in ("TRITON_INTERPRET", "AMGSRN_KERNELS")}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, env={**variables, **environment}, capture_output=True, text=True, check=True, timeout=600
    ).stdout.strip()


def test_triton_is_not_imported_before_a_gpu_is_used() -> None:
    script = "import sys, torch; from amgsrn_core import kernels, models; kernels.chosen_backend('cpu');"
    assert python(script + "print('triton' in sys.modules)") == "False"


@pytest.mark.skipif(DEVICE == "cuda", reason="without a GPU only")
def test_forcing_triton_without_a_gpu_says_why() -> None:
    script = """
import sys
{}
from amgsrn_core import errors, kernels
try:
    print(kernels.chosen_backend("cpu"))
except errors.KernelsUnavailable as error:
    print(error)
"""
    said = python(script.format(""), AMGSRN_KERNELS="triton")
    assert said == "AMGSRN_KERNELS=triton cannot be used: Triton needs a GPU (or its interpreter: TRITON_INTERPRET=1)"
    said = python(script.format("sys.modules['triton'] = None"), AMGSRN_KERNELS="triton")
    assert said.startswith("AMGSRN_KERNELS=triton cannot be used: Triton cannot be imported: ")
    assert "interpreter" in python(script.format(""), AMGSRN_KERNELS="triton", TRITON_INTERPRET="1")
    # The interpreter is for tests: nothing but being forced makes the CPU use it.
    assert "'triton'" not in python(script.format(""), TRITON_INTERPRET="1")


@pytest.mark.slow
def test_kernels_compile_for_nvidia_and_amd(tmp_path: Path) -> None:
    """Down to machine code, without a GPU; what a program needs must fit into any GPU's shared memory and registers."""
    script = (Path(__file__).parent / "compile_gpu_kernels.py").read_text()
    rows = json.loads(python(script, TRITON_CACHE_DIR=str(tmp_path), COMPILE_GPU_KERNELS="quick"))
    assert {row["target"] for row in rows} == {"sm_80", "sm_90", "gfx942"}
    for row in rows:
        assert row["shared"] <= 64 * 1024, row  # AMD's limit; NVIDIA's is at least 99 KiB
        assert row["spilled"] <= 256, row
