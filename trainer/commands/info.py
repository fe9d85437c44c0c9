# SPDX-License-Identifier: BSD-3-Clause
"""python -m trainer info"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .common import add_json

NAME = "info"
HELP = "say what is in a model file, or what this machine has"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("model", metavar="MODEL", type=Path, nargs="?", help=".amgsrn file")
    what.add_argument("--system", action="store_true", help="versions, devices and kernels of this installation")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what is known."""
    from ..report import emit

    if arguments.system:
        from ..system import describe_system

        system = describe_system()
        emit(_lines("this installation", system), system, arguments.json)
        return 0

    from amgsrn_core import read_header

    from ..report import describe_model

    header = read_header(arguments.model)
    result = {
        **describe_model(arguments.model, header, header.training),
        "array": header.array.to_dict(),
        "dimensions": list(header.domain.dimensions),
        "bounds": list(header.domain.bounds),
        "domain": header.domain.to_dict(),
        "architecture": header.architecture,
        "training": header.training,
    }
    array, domain, source = header.array, header.domain, header.training.get("source", {})
    about = {
        "array": f"{array.name} ({array.units or 'no units'})",
        "range": " to ".join(f"{value:.6g}" for value in array.value_range),
        "dimensions": " x ".join(str(n) for n in domain.dimensions) + ("" if domain.is_uniform else ", rectilinear"),
        "bounds": " ".join(f"{b:.6g}" for b in domain.bounds),
        "time": None if domain.time is None else f"{domain.time:.6g} {domain.time_units}",
        "architecture": ", ".join(f"{key} {value}" for key, value in header.architecture.items()),
        "recipe": header.training.get("recipe"),
        "precision": header.training.get("precision"),
        "made from": source.get("file"),
    }
    emit(_lines(str(arguments.model), about), result, arguments.json)
    return 0


def _lines(title: str, values: Mapping[str, Any]) -> str:
    return "\n".join([title, *(f"  {key:<20}{value}" for key, value in values.items() if value is not None)])
