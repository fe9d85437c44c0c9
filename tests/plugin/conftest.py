# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the plugin's tests: a display, ParaView programs with the plugin, and small models."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file

import harness


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = harness.missing_reason()
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and reason and "display" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    with harness.virtual_display() as name:
        yield name


@pytest.fixture
def paraview(display: str, tmp_path: Path) -> harness.ParaView:
    return harness.ParaView(display, tmp_path)


@pytest.fixture(scope="module")
def module_paraview(display: str, tmp_path_factory: pytest.TempPathFactory) -> harness.ParaView:
    """For results that several tests look at."""
    return harness.ParaView(display, tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="session")
def model(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Path of a small fitted model of a kind; see make_model.py. Kept between runs until what makes it changes."""
    root = harness.ROOT
    sources = [Path(__file__).with_name("make_model.py"), *sorted((root / "amgsrn_core" / "storage").glob("*.py"))]
    sources += sorted((root / "amgsrn_core" / "models").glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = pytestconfig.cache.mkdir("neural-models")

    def make(kind: str = "uniform") -> Path:
        path = folder / f"{kind}-{digest}.amgsrn"
        if not path.exists():
            script = Path(__file__).with_name("make_model.py")
            subprocess.run([sys.executable, str(script), str(path), kind], check=True, cwd=root)
        return path

    return make
