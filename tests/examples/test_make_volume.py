"""The sample simulation solves what it says it solves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import make_volume  # noqa: E402  (examples are scripts, not a package)


@pytest.fixture(scope="module")
def spectrum():
    return make_volume.Spectrum.of(24, dtype=torch.float64)


@pytest.fixture(scope="module")
def turbulent(spectrum):
    """Some velocity without symmetries, in Fourier space."""
    return make_volume.large_scale_noise(spectrum, seed=3) * spectrum.kept


def positions(spectrum):
    position = torch.arange(spectrum.nodes, dtype=torch.float64) * (make_volume.LENGTH / spectrum.nodes)
    z, y, x = torch.meshgrid(position, position, position, indexing="ij")
    return x, y, z


def test_curl_and_divergence_of_known_fields(spectrum):
    x, y, z = positions(spectrum)
    field = spectrum.to_fourier(torch.stack((y.sin(), (2 * z).cos(), x.sin() * z.sin())))
    expected = torch.stack((2 * (2 * z).sin(), -x.cos() * z.sin(), -y.cos()))
    torch.testing.assert_close(spectrum.to_real(spectrum.curl(field)), expected)
    torch.testing.assert_close(spectrum.to_real(spectrum.divergence(field)), x.sin() * z.cos())


def test_two_dimensional_vortex_decays_as_the_exact_solution(spectrum):
    """u = (sin x cos y, -cos x sin y, 0) solves Navier-Stokes: it keeps its shape and decays as exp(-2 nu t)."""
    viscosity, time = 0.07, 1.5
    x, y, _ = positions(spectrum)
    start = torch.stack((x.sin() * y.cos(), -x.cos() * y.sin(), torch.zeros_like(x)))
    (end,) = make_volume.simulate(spectrum, spectrum.to_fourier(start), viscosity, [time])
    torch.testing.assert_close(spectrum.to_real(end), start * np.exp(-2 * viscosity * time), rtol=1e-11, atol=1e-11)


def test_travelling_vortices_move_with_the_mean_flow(spectrum):
    """Seen from a moving frame the same vortices travel: this needs the nonlinear term to be right, sign and size."""
    time, drift = 1.3, torch.tensor([0.6, -0.4, 0.2], dtype=torch.float64)
    x, y, _ = positions(spectrum)

    def vortices(x, y):
        return torch.stack((x.sin() * y.cos(), -x.cos() * y.sin(), torch.zeros_like(x))) + drift[:, None, None, None]

    (end,) = make_volume.simulate(spectrum, spectrum.to_fourier(vortices(x, y)), 0.0, [time])
    exact = vortices(x - drift[0] * time, y - drift[1] * time)
    torch.testing.assert_close(spectrum.to_real(end), exact, rtol=0, atol=2e-4)


def test_steps_are_of_fourth_order(spectrum, turbulent):
    def run(steps):
        hat = turbulent
        for _ in range(steps):
            hat = make_volume.step(spectrum, hat, 0.2 / steps, 0.05)
        return hat

    fine = run(32)
    errors = [float((run(steps) - fine).abs().max()) for steps in (2, 4)]
    assert 12 < errors[0] / errors[1] < 20


def test_velocity_stays_free_of_divergence(spectrum, turbulent):
    (end,) = make_volume.simulate(spectrum, turbulent, 0.01, [0.5])
    size = float((spectrum.k_squared.sqrt() * end).abs().max())
    assert float(spectrum.divergence(end).abs().max()) < 1e-13 * size


def test_without_viscosity_energy_is_conserved(spectrum, turbulent):
    (*_, end) = make_volume.simulate(spectrum, turbulent, 0.0, [0.01 * i for i in range(1, 21)])
    start = make_volume.kinetic_energy(spectrum, turbulent)
    assert start == pytest.approx(0.5)
    assert make_volume.kinetic_energy(spectrum, end) == pytest.approx(start, rel=1e-8)


def test_energy_decays_at_the_rate_of_dissipation(spectrum, turbulent):
    viscosity, dt = 0.05, 1e-3
    before, middle, after = turbulent, *make_volume.simulate(spectrum, turbulent, viscosity, [dt, 2 * dt])
    rate = (make_volume.kinetic_energy(spectrum, after) - make_volume.kinetic_energy(spectrum, before)) / (2 * dt)
    assert rate < 0
    assert rate == pytest.approx(-2 * viscosity * make_volume.enstrophy(spectrum, middle), rel=1e-5)


def test_vortices_stretch_as_taylor_and_green_found():
    """Their series of 1937 for the inviscid enstrophy: 3/8 (1 + 5/48 t^2 + 50/(99 64) t^4 + ...)."""
    spectrum = make_volume.Spectrum.of(32, dtype=torch.float64)
    start = make_volume.taylor_green(spectrum, perturbation=0.0, seed=0)
    assert make_volume.kinetic_energy(spectrum, start) == pytest.approx(1 / 8)
    assert make_volume.enstrophy(spectrum, start) == pytest.approx(3 / 8)
    time = 0.4
    (end,) = make_volume.simulate(spectrum, start, 0.0, [time])
    series = 3 / 8 * (1 + 5 / 48 * time**2 + 50 / (99 * 64) * time**4)
    assert make_volume.enstrophy(spectrum, end) == pytest.approx(series, rel=2e-5)


def test_same_seed_same_flow_at_any_resolution():
    coarse, fine = (make_volume.Spectrum.of(n, dtype=torch.float64) for n in (24, 48))
    a = coarse.to_real(make_volume.taylor_green(coarse, 0.1, seed=5))
    b = fine.to_real(make_volume.taylor_green(fine, 0.1, seed=5))
    torch.testing.assert_close(a, b[:, ::2, ::2, ::2])
    other = coarse.to_real(make_volume.taylor_green(coarse, 0.1, seed=6))
    assert float((a - other).abs().max()) > 0.01


def test_file_is_cf_netcdf(tmp_path):
    output = tmp_path / "flow.nc"
    arguments = ["--size", "16", "--time", "0.5", "--snapshots", "2", "--output", str(output)]
    assert make_volume.main(arguments) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["flow.nc"]
    with netCDF4.Dataset(output) as file:
        variable = file["vorticity_magnitude"]
        assert file.data_model == "NETCDF4"
        assert file.Conventions.startswith("CF-")
        assert variable.dimensions == ("time", "z", "y", "x")
        assert variable.shape == (2, 16, 16, 16)
        assert variable.dtype == np.float32
        assert variable.units == "s-1"
        assert variable.filters()["zlib"]
        assert file["time"][:].tolist() == [0.25, 0.5]
        for axis in "xyz":
            assert file[axis].units == "m"
            np.testing.assert_allclose(file[axis][:], np.arange(16) * 2 * np.pi / 16)
        assert np.isfinite(variable[:]).all()
        assert variable[:].min() >= 0
        first = variable[:]
    make_volume.main(arguments)
    with netCDF4.Dataset(output) as file:
        np.testing.assert_array_equal(file["vorticity_magnitude"][:], first)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--size", "15"], "--size"),
        (["--time", "0"], "--time"),
        (["--snapshots", "0"], "--snapshots"),
        (["--output", "nowhere/flow.nc"], "--output"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(tmp_path, arguments, named):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "make_volume.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"error: {named}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())
