# SPDX-License-Identifier: BSD-3-Clause
"""python -m trainer evaluate"""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_device, add_format, add_json, raw_format

NAME = "evaluate"
HELP = "compare a model with the volume it was made from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", type=Path, help=".amgsrn file")
    parser.add_argument("input", metavar="INPUT", type=Path, help="volume file")
    parser.add_argument("--variable", metavar="V", help="variable to compare with (default: the model's)")
    parser.add_argument("--time", metavar="N", type=int, help="time step (default: the model's)")
    add_format(parser)
    add_device(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, and print the errors."""
    from ..evaluation import evaluate
    from ..report import emit

    raw = raw_format(arguments)
    result = evaluate(arguments.model, arguments.input, arguments.variable, arguments.time, arguments.device, raw)
    emit(f"{arguments.model} against {arguments.input}", result, arguments.json)
    return 0
