"""Imports go down only: the table of layers in docs/architecture.md, enforced."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Layer:
    """A top-level package: what it may import besides itself and the standard library. All else is forbidden."""

    may: frozenset[str]
    must_not: frozenset[str]  # named because they are tempting; the message says that it is deliberate


TABLE = {
    "amgsrn_core": Layer(
        may=frozenset({"torch", "triton", "numpy", "safetensors"}),
        must_not=frozenset({"vtk", "vtkmodules", "paraview", "netCDF4", "h5py", "dask", "trainer", "paraview_plugin"}),
    ),
    "trainer": Layer(
        may=frozenset(
            {
                "amgsrn_core",
                "torch",
                "numpy",
                "netCDF4",
                "cftime",
                "rich",
                "vtkmodules",
                "xarray",
                "zarr",
                "cfgrib",
                "eccodes",
                "distributed",
            }
        ),
        must_not=frozenset({"paraview", "paraview_plugin"}),
    ),
    "paraview_plugin": Layer(
        may=frozenset({"amgsrn_core", "torch", "numpy", "vtkmodules", "paraview"}),
        must_not=frozenset({"trainer", "netCDF4", "h5py"}),
    ),
}


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    module: str


def imports_of(file: Path, root: Path) -> Iterator[Import]:
    """Every module that a file imports, anywhere in it, also by importlib; relative names resolved."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield Import(file, node.lineno, node.module or "")
                continue
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                yield Import(file, node.lineno, ".".join((*base, name)))
        elif isinstance(node, ast.Call) and node.args and called_name(node.func) in ("import_module", "__import__"):
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                module = name.value
                if module.startswith("."):
                    level = len(module) - len(module.lstrip("."))
                    module = ".".join((*package[: len(package) - level + 1], module[level:]))
                yield Import(file, node.lineno, module)


def called_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def violations(root: Path) -> list[str]:
    found = []
    for package, layer in TABLE.items():
        allowed = layer.may | {package, "__future__"} | sys.stdlib_module_names
        for file in sorted((root / package).rglob("*.py")):
            for used in imports_of(file, root):
                top = used.module.split(".")[0]
                if top in layer.must_not or top not in allowed:
                    where = f"{used.file.relative_to(root)}:{used.line}"
                    found.append(f"{where}: {package} must not import {used.module}")
    return found


def test_imports_go_down_only():
    assert not violations(ROOT), "\n".join(violations(ROOT))


def test_every_layer_was_read():
    for package in TABLE:
        assert any((ROOT / package).rglob("*.py")), f"{package}/ has no Python file"


@pytest.mark.parametrize(
    ("file", "text", "module"),
    [
        ("amgsrn_core/field.py", "import vtkmodules.vtkCommonCore", "vtkmodules.vtkCommonCore"),
        ("amgsrn_core/field.py", "def lazy():\n    from trainer import fit", "trainer"),
        ("amgsrn_core/models/x.py", "from ...trainer import fit", "trainer"),
        ("amgsrn_core/models/x.py", "from ... import trainer", "trainer"),
        ("amgsrn_core/x.py", "import dask.array as da", "dask.array"),
        ("amgsrn_core/x.py", "import pandas", "pandas"),
        ("trainer/fit.py", "import importlib\nimportlib.import_module('paraview.simple')", "paraview.simple"),
        ("trainer/fit.py", "from importlib import import_module\nimport_module('paraview_plugin')", "paraview_plugin"),
        (
            "trainer/fit.py",
            "import importlib as i\ni.import_module('..paraview_plugin', __name__)",
            "paraview_plugin",
        ),
        ("paraview_plugin/reader.py", "try:\n    __import__('netCDF4')\nexcept ImportError:\n    pass", "netCDF4"),
        ("paraview_plugin/reader.py", "if True:\n    import os, h5py", "h5py"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, file, text, module):
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    planted.write_text(text, encoding="utf-8")
    (found,) = violations(tmp_path)
    assert found.startswith(f"{file}:")
    assert found.endswith(f"must not import {module}")


def test_what_is_allowed_is_not_reported(tmp_path):
    package = tmp_path / "amgsrn_core" / "models"
    package.mkdir(parents=True)
    (package / "x.py").write_text(
        "from __future__ import annotations\nimport json, os.path\nimport torch.nn as nn\n"
        "from . import y\nfrom .. import field\nfrom ..grid import sample_nodes\nfrom amgsrn_core import errors\n",
        encoding="utf-8",
    )
    assert violations(tmp_path) == []


def test_the_table_says_what_the_documentation_says():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|[^|]*\|([^|]*)\|([^|]*)\|$", text, flags=re.MULTILINE)
    assert {package for package, _, _ in rows} == set(TABLE)
    for package, may, must_not in rows:
        names = re.findall(r"\w+", re.sub(r"\([^)]*\)", "", must_not))
        assert set(names) <= TABLE[package].must_not, package
        assert set(re.findall(r"\w+", may)) <= TABLE[package].may, package


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("amgsrn_core", {"vtk", "vtkmodules", "paraview", "netCDF4", "dask", "trainer", "paraview_plugin"}),
        ("trainer", {"vtk", "vtkmodules", "paraview", "paraview_plugin"}),
    ],
)
def test_importing_every_module_loads_nothing_from_above(package, unwanted):
    """What the source does not show: imports made by third parties, or by names put together at run time."""
    files = [path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / package).rglob("*.py"))]
    modules = [".".join(path.parts).removesuffix(".__init__") for path in files if path.name != "__main__"]
    script = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
print(*sorted({{name.split(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert package in loaded
    assert not loaded & unwanted
