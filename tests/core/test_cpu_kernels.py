# SPDX-License-Identifier: BSD-3-Clause
"""The compiled CPU kernels against the reference in double precision."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import Network, away_from_kinks, double, networks

from amgsrn_core import kernels
from amgsrn_core.errors import KernelsUnavailable
from amgsrn_core.kernels import cpu, dispatch, reference

LIBRARY, STATE = cpu.load()
needs_library = pytest.mark.skipif(LIBRARY is None, reason=f"CPU kernels: {STATE}")


@needs_library
@given(networks(), st.integers(0, 700), st.integers(0, 2**31))
def test_inference_equals_the_reference(network: Network, count: int, seed: int) -> None:
    assert LIBRARY is not None
    points = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2.4 - 1.2
    values = cpu.Evaluator(LIBRARY, *network)(points)
    expected = reference.forward(points.double(), *double(network))
    assert values.shape == expected.shape
    if count:
        # Features of narrow grids change fast: a point's last bit moves them, hence relative to the largest value.
        scale = float(expected.abs().max()) or 1.0
        np.testing.assert_allclose(values.numpy() / scale, expected.numpy() / scale, atol=1e-5)


@needs_library
@given(networks(), st.integers(0, 300), st.integers(0, 2**31), st.integers(1, 3))
def test_gradients_equal_the_reference(network: Network, count: int, seed: int, threads: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = away_from_kinks(torch.rand(count, 3, generator=generator) * 2.4 - 1.2, *network)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))
        for function, (transforms, grids, weights, biases) in (
            (lambda *a: cpu.forward(LIBRARY, *a), network),
            (reference.forward, double(network)),
        ):
            parameters = [t.requires_grad_() for t in (transforms, grids, *weights, *(biases or ()))]
            values = function(points.to(transforms.dtype), transforms, grids, weights, biases)
            slopes = torch.rand(values.shape, generator=torch.Generator().manual_seed(seed)).to(values.dtype)
            results.append(torch.autograd.grad(values, parameters, slopes))
    for native, expected in zip(*results, strict=True):
        scale = float(expected.abs().max()) or 1.0
        np.testing.assert_allclose(native.numpy() / scale, expected.numpy() / scale, atol=1e-4)


@needs_library
@given(networks(), st.integers(1, 300), st.integers(0, 2**31))
def test_the_fused_loss_equals_the_reference(network: Network, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = away_from_kinks(torch.rand(count, 3, generator=generator) * 2.4 - 1.2, *network)
    if not len(points):
        return
    outputs = len(network[2][-1])
    targets = torch.rand(len(points), outputs, generator=generator)
    results = []
    for function, (transforms, grids, weights, biases) in (
        (kernels.mean_squared_error, network),
        (reference.mean_squared_error, double(network)),
    ):
        parameters = [t.requires_grad_() for t in (transforms, grids, *weights, *(biases or ()))]
        arguments = points.to(transforms.dtype), targets.to(transforms.dtype), transforms, grids, weights, biases
        loss = 3.0 * function(*arguments)
        results.append((loss.detach(), torch.autograd.grad(loss, parameters)))
    assert float(results[0][0]) == pytest.approx(float(results[1][0]), rel=1e-5)
    for native, expected in zip(results[0][1], results[1][1], strict=True):
        scale = float(expected.abs().max()) or 1.0
        np.testing.assert_allclose(native.numpy() / scale, expected.numpy() / scale, atol=1e-4)


@needs_library
def test_more_points_than_a_chunk_and_repeatable_bits() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(40001, 3, generator=generator) * 2 - 1
    parameters = [torch.eye(4).repeat(3, 1, 1), torch.rand(3, 2, 5, 6, 7), torch.rand(9, 6), torch.rand(1, 9)]
    gradients = []
    for _ in range(2):
        for parameter in parameters:
            parameter.requires_grad_()
        values = kernels.forward(points, parameters[0], parameters[1], parameters[2:])
        gradients.append(torch.autograd.grad(values.sum(), parameters))
    expected = torch.autograd.grad(
        reference.forward(points, parameters[0], parameters[1], parameters[2:]).sum(), parameters
    )
    for first, second, reference_gradient in zip(*gradients, expected, strict=True):
        assert torch.equal(first, second)
        np.testing.assert_allclose(
            first, reference_gradient, rtol=2e-3, atol=1e-3 * float(reference_gradient.abs().max())
        )


@needs_library
def test_far_away_points_are_outside_every_grid() -> None:
    assert LIBRARY is not None
    network = torch.eye(4)[None], torch.ones(1, 1, 3, 3, 3), [torch.ones(1, 1)]
    points = torch.tensor([[1e30, 0, 0], [0, -1e9, 0], [0, 0, 1e19], [0.0, 0, 0]])
    assert cpu.Evaluator(LIBRARY, *network)(points)[:, 0].tolist() == [0, 0, 0, 1]


def test_an_evaluator_keeps_the_parameters_it_was_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.rand(10, 3)
    for backend in ["reference"] + (["cpu"] if LIBRARY is not None else []):
        monkeypatch.setenv("AMGSRN_KERNELS", backend)
        transforms, grids, weights = torch.eye(4)[None], torch.rand(1, 1, 3, 3, 3), [torch.rand(2, 1), torch.rand(1, 2)]
        evaluate = kernels.evaluator(transforms, grids, weights)
        before = evaluate(points)
        for tensor in (transforms, grids, *weights):
            tensor.zero_()
        assert torch.equal(evaluate(points), before)


def test_back_ends_can_be_forced_and_unknown_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMGSRN_KERNELS", "reference")
    assert kernels.chosen_backend("cpu")[0] == "reference"
    monkeypatch.setenv("AMGSRN_KERNELS", "vulkan")
    with pytest.raises(KernelsUnavailable, match="choose one of: auto, reference, cpu"):
        kernels.chosen_backend("cpu")


def test_without_the_library_everything_works_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AMGSRN_KERNELS", raising=False)
    monkeypatch.setattr(cpu, "load", lambda: (None, "not built"))
    dispatch._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            evaluate = kernels.evaluator(torch.eye(4)[None], torch.ones(1, 1, 3, 3, 3), [torch.ones(1, 1)])
            assert evaluate(torch.zeros(2, 3)).tolist() == [[1.0], [1.0]]
    assert len(caplog.records) == 1
    assert "not built" in caplog.text
    monkeypatch.setenv("AMGSRN_KERNELS", "cpu")
    with pytest.raises(KernelsUnavailable, match="not built"):
        kernels.chosen_backend("cpu")
