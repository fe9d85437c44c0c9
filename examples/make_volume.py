#!/usr/bin/env python3
"""Simulates a turbulent flow and writes it as a NetCDF volume to learn from.

The Taylor-Green vortex: a smooth, periodic flow of an incompressible fluid in a box, whose large vortices stretch and
break into turbulence. The Navier-Stokes equations are solved with the pseudo-spectral method: derivatives in Fourier
space, products in real space, the 2/3 rule against aliasing, the viscous term integrated exactly, and fourth-order
Runge-Kutta steps.

    python examples/make_volume.py --output taylor_green.nc
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

LENGTH = 2 * np.pi  # edge of the periodic box, m
COURANT = 0.9


@dataclass(frozen=True)
class Spectrum:
    """The Fourier modes of real functions on n^3 nodes of a periodic box.

    Arrays in real space are (3, n, n, n) with axes component, z, y, x; in Fourier space (3, n, n, n // 2 + 1).
    """

    nodes: int
    k: torch.Tensor  # wave vectors (kx, ky, kz), 1/m
    k_squared: torch.Tensor
    kept: torch.Tensor  # 1 for the modes that the 2/3 rule keeps

    @classmethod
    def of(cls, nodes: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Spectrum:
        full = torch.fft.fftfreq(nodes, 1 / nodes, dtype=dtype, device=device)
        half = torch.fft.rfftfreq(nodes, 1 / nodes, dtype=dtype, device=device)
        kz, ky, kx = torch.meshgrid(full, full, half, indexing="ij")
        k = torch.stack((kx, ky, kz))
        kept = (k.abs().amax(dim=0) < nodes / 3).to(dtype)
        return cls(nodes, k, (k * k).sum(dim=0), kept)

    def to_real(self, hat: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfftn(hat, s=(self.nodes,) * 3, dim=(-3, -2, -1))

    def to_fourier(self, field: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfftn(field, dim=(-3, -2, -1))

    def curl(self, hat: torch.Tensor) -> torch.Tensor:
        (kx, ky, kz), (x, y, z) = self.k, hat
        return torch.stack((ky * z - kz * y, kz * x - kx * z, kx * y - ky * x)).mul_(1j)

    def divergence(self, hat: torch.Tensor) -> torch.Tensor:
        return 1j * (self.k * hat).sum(dim=0)

    def project(self, hat: torch.Tensor) -> torch.Tensor:
        """The divergence-free part: this is what the pressure does."""
        along = (self.k * hat).sum(dim=0) / self.k_squared.clamp(min=1)
        return hat - self.k * along


def taylor_green(spectrum: Spectrum, perturbation: float, seed: int) -> torch.Tensor:
    """The initial velocity (m/s) in Fourier space; a little noise in the largest modes breaks the flow's symmetry."""
    n, dtype, device = spectrum.nodes, spectrum.k.dtype, spectrum.k.device
    position = torch.arange(n, dtype=dtype, device=device) * (LENGTH / n)
    z, y, x = torch.meshgrid(position, position, position, indexing="ij")
    velocity = torch.stack((x.sin() * y.cos() * z.cos(), -x.cos() * y.sin() * z.cos(), torch.zeros_like(x)))
    hat = spectrum.to_fourier(velocity)
    if perturbation > 0:
        hat = hat + perturbation * large_scale_noise(spectrum, seed)
    return spectrum.project(hat) * spectrum.kept


def large_scale_noise(spectrum: Spectrum, seed: int, largest_k: int = 4) -> torch.Tensor:
    """Random divergence-free velocity of modes up to `largest_k` with a root mean square of 1 m/s.

    Drawn mode by mode, so that the same seed gives the same flow at any resolution.
    """
    generator = np.random.default_rng(seed)
    coarse_n = 2 * (largest_k + 1)
    coarse = np.fft.fftn(generator.standard_normal((3, coarse_n, coarse_n, coarse_n)), axes=(1, 2, 3))
    hat = torch.zeros_like(spectrum.k, dtype=spectrum.k.dtype.to_complex())
    for kz in range(-largest_k, largest_k + 1):
        for ky in range(-largest_k, largest_k + 1):
            row = coarse[:, kz, ky, : largest_k + 1]
            hat[:, kz, ky, : largest_k + 1] = torch.as_tensor(row).to(hat.device, hat.dtype)
    hat[:, 0, 0, 0] = 0
    hat = spectrum.project(hat)
    velocity = spectrum.to_real(hat)
    return spectrum.to_fourier(velocity / velocity.square().sum(dim=0).mean().sqrt())


def nonlinear_term(spectrum: Spectrum, hat: torch.Tensor) -> torch.Tensor:
    """Advection in rotational form, velocity x vorticity, without its gradient part."""
    velocity = spectrum.to_real(hat)
    vorticity = spectrum.to_real(spectrum.curl(hat))
    product = spectrum.to_fourier(torch.linalg.cross(velocity, vorticity, dim=0))
    return spectrum.project(product * spectrum.kept)


def step(spectrum: Spectrum, hat: torch.Tensor, dt: float, viscosity: float) -> torch.Tensor:
    """One fourth-order Runge-Kutta step; the viscous term is solved exactly by an integrating factor."""
    half_decay = torch.exp(-viscosity * spectrum.k_squared * (dt / 2))
    full_decay = half_decay * half_decay
    a = nonlinear_term(spectrum, hat)
    b = nonlinear_term(spectrum, half_decay * (hat + dt / 2 * a))
    c = nonlinear_term(spectrum, half_decay * hat + dt / 2 * b)
    d = nonlinear_term(spectrum, full_decay * hat + dt * half_decay * c)
    return full_decay * hat + dt / 6 * (full_decay * a + 2 * half_decay * (b + c) + d)


def kinetic_energy(spectrum: Spectrum, hat: torch.Tensor) -> float:
    """Mean kinetic energy per unit mass, m2/s2."""
    return 0.5 * float(spectrum.to_real(hat).square().sum(dim=0).mean())


def enstrophy(spectrum: Spectrum, hat: torch.Tensor) -> float:
    """Mean of half the squared vorticity, 1/s2. Times 2 * viscosity it is the rate at which kinetic energy is lost."""
    return kinetic_energy(spectrum, spectrum.curl(hat))


def vorticity_magnitude(spectrum: Spectrum, hat: torch.Tensor) -> np.ndarray:
    """(n, n, n) float32 in [z, y, x] order, 1/s."""
    return spectrum.to_real(spectrum.curl(hat)).norm(dim=0).float().cpu().numpy()


def simulate(
    spectrum: Spectrum,
    hat: torch.Tensor,
    viscosity: float,
    times: list[float],
    progress: Callable[[float], None] = lambda time: None,
) -> Iterator[torch.Tensor]:
    """Yields the velocity (in Fourier space) at each of the ascending `times`; steps are as long as is stable."""
    now = 0.0
    for end in times:
        while now < end - 1e-9:
            speed = float(spectrum.to_real(hat).abs().sum(dim=0).max())
            largest_k = spectrum.nodes / 3
            dt = min(COURANT * 2.8 / (largest_k * speed), end - now)
            hat = step(spectrum, hat, dt, viscosity)
            now += dt
            progress(now)
        yield hat


def write_netcdf(path: Path, volumes: np.ndarray, times: list[float], history: str) -> None:
    """Writes vorticity magnitude (time, z, y, x) under the CF conventions, to a temporary name first."""
    import netCDF4

    nodes = volumes.shape[-1]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
            file.Conventions = "CF-1.8"
            file.title = "Taylor-Green vortex"
            file.history = history
            file.createDimension("time", len(times))
            time = file.createVariable("time", "f8", ("time",))
            time.units = "s"
            time.long_name = "time since the start of the simulation"
            time.axis = "T"
            time[:] = times
            for axis in "zyx":
                file.createDimension(axis, nodes)
                coordinate = file.createVariable(axis, "f8", (axis,))
                coordinate.units = "m"
                coordinate.long_name = f"{axis} coordinate"
                coordinate.axis = axis.upper()
                coordinate[:] = np.arange(nodes) * (LENGTH / nodes)
            chunk = min(nodes, 64)
            variable = file.createVariable(
                "vorticity_magnitude",
                "f4",
                ("time", "z", "y", "x"),
                zlib=True,
                complevel=4,
                shuffle=True,
                chunksizes=(1, chunk, chunk, chunk),
            )
            variable.units = "s-1"
            variable.long_name = "magnitude of the vorticity"
            variable[:] = volumes
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Simulates a turbulent flow and writes its vorticity magnitude as NetCDF."
    )
    parser.add_argument("--output", type=Path, default=Path("taylor_green.nc"), help="file to write (%(default)s)")
    parser.add_argument("--size", type=int, default=96, help="nodes per axis (%(default)s)")
    parser.add_argument("--time", type=float, default=8.0, help="simulated seconds (%(default)s)")
    parser.add_argument("--snapshots", type=int, default=1, help="time steps to write, evenly spaced (%(default)s)")
    parser.add_argument("--reynolds", type=float, default=400.0, help="Reynolds number (%(default)s)")
    parser.add_argument("--perturbation", type=float, default=0.05, help="of the initial velocity, m/s (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial noise (%(default)s)")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda:0, ... (%(default)s)")
    options = parser.parse_args(arguments)
    if options.size < 16 or options.size % 2:
        parser.error(f"--size must be an even number of at least 16, not {options.size}")
    if options.snapshots < 1:
        parser.error(f"--snapshots must be at least 1, not {options.snapshots}")
    for name in ("time", "reynolds"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name} must be positive, not {getattr(options, name)}")
    if not options.output.resolve().parent.is_dir():
        parser.error(f"--output: there is no folder {options.output.resolve().parent}")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    spectrum = Spectrum.of(options.size, device=options.device)
    viscosity = 1 / options.reynolds  # m2/s: speed 1 m/s, length 1 m
    times = [options.time * (i + 1) / options.snapshots for i in range(options.snapshots)]
    show = sys.stderr.isatty()

    def progress(now: float) -> None:
        if show:
            print(f"\rsimulating {options.size}^3 nodes: {now:.2f} of {options.time:g} s", end="", file=sys.stderr)

    hat = taylor_green(spectrum, options.perturbation, options.seed)
    states = simulate(spectrum, hat, viscosity, times, progress)
    volumes = np.stack([vorticity_magnitude(spectrum, state) for state in states])
    if show:
        print(file=sys.stderr)
    names = ("size", "time", "snapshots", "reynolds", "perturbation", "seed")
    command = " ".join(["make_volume.py", *(f"--{name} {getattr(options, name):g}" for name in names)])
    write_netcdf(options.output, volumes, times, command)
    shape = "x".join(str(options.size) for _ in range(3))
    print(f"{options.output}: vorticity_magnitude, {shape}, {len(times)} time step(s), maximum {volumes.max():.2f} 1/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
