# SPDX-License-Identifier: BSD-3-Clause
"""python -m trainer info"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_json

if TYPE_CHECKING:
    from amgsrn_core import ArrayInfo

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

    from ..model_tree import lines, members, summary
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
        **members(header),
    }
    array, domain, source = header.array, header.domain, header.training.get("source", {})
    about = {
        "array": f"{array.name} ({array.units or 'no units'})",
        **_ranges(array),
        "dimensions": " x ".join(str(n) for n in domain.dimensions) + ("" if domain.is_uniform else ", rectilinear"),
        "bounds": " ".join(f"{b:.6g}" for b in domain.bounds),
        "time": None if domain.time is None else f"{domain.time:.6g} {domain.time_units}",
        "times": None
        if not domain.times
        else f"{len(domain.times)}, {domain.times[0]:.10g} to {domain.times[-1]:.10g}",
        "made of": summary(header),
        "recipe": header.training.get("recipe"),
        "precision": header.training.get("precision"),
        "made from": source.get("file"),
    }
    emit("\n".join([_lines(str(arguments.model), about), *lines(header)]), result, arguments.json)
    return 0


def _ranges(array: ArrayInfo) -> dict[str, str]:
    """A line for the range of each component."""
    names = [f"range of {name}" for name in array.component_names] or ["range"]
    return {name: f"{low:.6g} to {high:.6g}" for name, (low, high) in zip(names, array.ranges, strict=True)}


def _lines(title: str, values: Mapping[str, Any]) -> str:
    return "\n".join([title, *(f"  {key + ' ':<20}{value}" for key, value in values.items() if value is not None)])
