# SPDX-License-Identifier: BSD-3-Clause
"""What the trainer's tests share: real data if it is there, small generated volumes, and the command line as a
subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from trainer.cli import main

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real volumes (environment variable AMGSRN_DATA, else beside the repository)."""
    folder = Path(os.environ.get("AMGSRN_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real volumes: {folder} is not there; set AMGSRN_DATA")
    return folder


def smooth_volume(shape: tuple[int, ...] = (12, 14, 16)) -> np.ndarray:
    """A smooth float32 volume [z, y, x] without symmetry."""
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    return (np.sin(3 * x + y) * np.cos(2 * z) + 0.5 * y * z).astype(np.float32)


@pytest.fixture(name="smooth_volume", scope="session")
def smooth_volume_fixture() -> Callable[..., np.ndarray]:
    return smooth_volume


def write_netcdf(
    path: Path,
    variables: dict[str, np.ndarray] | None = None,
    dimensions: tuple[str, ...] = ("z", "y", "x"),
    coordinates: dict[str, np.ndarray] | None = None,
    attributes: dict[str, dict[str, Any]] | None = None,
    file_format: str = "NETCDF4",
    unlimited: str | None = None,
    **options: Any,
) -> Path:
    """A NetCDF file; arrays are stored as they are, attributes are set before and after without any packing."""
    arrays = {"density": smooth_volume()} if variables is None else variables
    attributes = attributes or {}
    with netCDF4.Dataset(str(path), "w", format=file_format) as file:
        file.set_auto_maskandscale(False)
        shape = next(iter(arrays.values())).shape
        for name, count in zip(dimensions, shape, strict=True):
            file.createDimension(name, None if name == unlimited else count)
        everything = [(name, values, (name,)) for name, values in (coordinates or {}).items()]
        everything += [(name, values, dimensions[: values.ndim]) for name, values in arrays.items()]
        for name, values, dims in everything:
            own = dict(attributes.get(name, {}))
            fill = own.pop("_FillValue", None)
            variable = file.createVariable(
                name, values.dtype, dims, fill_value=fill, **options if values.ndim > 1 else {}
            )
            variable.set_auto_maskandscale(False)
            variable.setncatts(own)
            variable[:] = values
    return path


@pytest.fixture(name="write_netcdf", scope="session")
def write_netcdf_fixture() -> Callable[..., Path]:
    return write_netcdf


@pytest.fixture
def volume_file(tmp_path: Path) -> Path:
    """A small smooth volume as a file."""
    return write_netcdf(tmp_path / "volume.nc")


Run = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """Of a subprocess that runs the trainer from anywhere."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}


@pytest.fixture(scope="session")
def trainer() -> Run:
    """Run `python -m trainer` with arguments; keyword arguments go to subprocess.run."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "trainer", *map(str, arguments)]
        options.setdefault("env", environment())
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)

    return run


@pytest.fixture
def start_trainer() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `python -m trainer` and let it run, until the test ends at the latest."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "trainer", *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def call_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], Callable[..., str]]:
    """Given a folder, what runs a command in this process, in that folder, and returns what it printed to stdout."""

    def enter(folder: Path) -> Callable[..., str]:
        monkeypatch.chdir(folder)

        def run(*arguments: object) -> str:
            capsys.readouterr()
            assert main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
            return capsys.readouterr().out

        return run

    return enter
