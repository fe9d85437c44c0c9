# SPDX-License-Identifier: BSD-3-Clause
"""Every instruction set that this processor has computes the same as the reference in double precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import away_from_kinks

from amgsrn_core import kernels
from amgsrn_core.errors import KernelsUnavailable
from amgsrn_core.kernels import cpu, instruction_set, reference, reference_sampling

ROOT = Path(__file__).resolve().parents[2]
LIBRARY, STATE = cpu.load()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=f"CPU kernels: {STATE}")
SETS = instruction_set.available(LIBRARY) if LIBRARY is not None else []


@pytest.fixture(params=[1, 2, 3, 4])
def network(request: pytest.FixtureRequest) -> list[torch.Tensor]:
    """Transforms, grids, and the weights of a network of so many channels."""
    generator = torch.Generator().manual_seed(request.param)
    transforms = torch.eye(4).repeat(5, 1, 1)
    transforms[:, :3] += 0.3 * torch.randn(5, 3, 4, generator=generator)
    grids = torch.randn(5, request.param, 7, 6, 5, generator=generator)
    weights = [0.4 * torch.randn(b, a, generator=generator) for a, b in ((5 * request.param, 19), (19, 2))]
    return [transforms, grids, *weights]


def points_for(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(9)) * 2.4 - 1.2


def test_what_every_processor_has_is_there() -> None:
    assert SETS[0] in ("portable", "neon")


def test_restriction_is_in_effect(restricted: str) -> None:
    names = {"portable": {"SCALAR", "EMU128"}, "avx512": {"AVX3", "AVX3_DL"}}
    assert LIBRARY is not None
    assert LIBRARY.amgsrn_instruction_set().decode() in names.get(restricted, {restricted.upper()})


def test_inference(restricted: str, network: list[torch.Tensor]) -> None:
    transforms, grids, *weights = network
    points = points_for(3001)
    expected = reference.forward(points.double(), transforms.double(), grids.double(), [w.double() for w in weights])
    np.testing.assert_allclose(kernels.evaluator(transforms, grids, weights)(points), expected, atol=2e-5)


def test_training(restricted: str, network: list[torch.Tensor]) -> None:
    transforms, grids, *weights = network
    points, gradients = away_from_kinks(points_for(3001), transforms, grids, weights), []
    for function, parameters in (
        (kernels.mean_squared_error, network),
        (reference.mean_squared_error, [p.double() for p in network]),
    ):
        transforms, grids, *weights = (p.requires_grad_() for p in parameters)
        targets = torch.ones(len(points), 2, dtype=grids.dtype)
        loss = function(points.to(grids.dtype), targets, transforms, grids, weights)
        gradients.append(torch.autograd.grad(loss, parameters))
    for native, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(native, expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("snap", [False, True])
def test_lattice_samples(restricted: str, snap: bool) -> None:
    values = torch.randn(9, 14, 23, generator=torch.Generator().manual_seed(0))
    arguments = (7, 9, 22), (-0.5, 2.0), 2**63 + 5, 2**40 + 1, snap
    points, samples = kernels.lattice_samples(values, *arguments)
    expected_points, expected = reference_sampling.lattice_samples(values.double(), *arguments)
    assert torch.equal(points, expected_points)
    np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_uniform_samples(restricted: str) -> None:
    values = torch.randn(9, 14, 23, 3, generator=torch.Generator().manual_seed(0))
    arguments = 1001, (-0.5, 2.0), 3, 4
    points, samples = kernels.uniform_samples(values, *arguments)
    expected_points, expected = reference_sampling.uniform_samples(values.double(), *arguments)
    assert torch.equal(points, expected_points)
    np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_density(restricted: str, network: list[torch.Tensor]) -> None:
    points, results = points_for(3001), []
    for function, transforms in ((kernels.density, network[0]), (reference.density, network[0].double())):
        transforms.requires_grad_()
        density = function(points.to(transforms.dtype), transforms)
        results.append((density.detach(), *torch.autograd.grad(density.sum(), transforms)))
    for native, expected in zip(*results, strict=True):
        np.testing.assert_allclose(native, expected, atol=5e-5 * float(expected.abs().max()))


def test_value_gradients(restricted: str, network: list[torch.Tensor]) -> None:
    transforms, grids, *weights = network
    points = away_from_kinks(points_for(3001), transforms, grids, weights)
    results = kernels.evaluator(transforms, grids, weights).value_and_gradient(points)
    double = transforms.double(), grids.double(), [w.double() for w in weights]
    for native, expected in zip(results, reference.value_and_gradient(points.double(), *double), strict=True):
        np.testing.assert_allclose(native, expected, atol=2e-5 * float(expected.abs().max()))


def test_unknown_instruction_sets_are_refused() -> None:
    assert LIBRARY is not None
    before = LIBRARY.amgsrn_instruction_set()
    with pytest.raises(KernelsUnavailable, match=rf"^AMGSRN_INSTRUCTION_SET=mmx cannot be used: .*: {SETS[0]}"):
        instruction_set.use(LIBRARY, "mmx")
    assert LIBRARY.amgsrn_instruction_set() == before


@pytest.mark.parametrize(
    ("wanted", "expected"), [(SETS[0] if SETS else "", "instruction set"), ("mmx", "AMGSRN_INSTRUCTION_SET=mmx")]
)
def test_the_environment_variable_is_read_when_the_library_is_loaded(wanted: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "info", "--system"],
        cwd=ROOT,
        env={**os.environ, instruction_set.VARIABLE: wanted},
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected in done.stdout
