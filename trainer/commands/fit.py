# SPDX-License-Identifier: BSD-3-Clause
"""python -m trainer fit"""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_device, add_json

NAME = "fit"
HELP = "learn a volume; running it again resumes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("input", metavar="INPUT", type=Path, help="NetCDF file")
    parser.add_argument("-o", "--output", metavar="OUT.amgsrn", type=Path, required=True, help="model file to write")
    parser.add_argument(
        "--variable", metavar="V", help="variable to learn, if the file has several; U,V,W: components of one array"
    )
    parser.add_argument("--name", metavar="NAME", help="of the array in the model (default: the variable's)")
    parser.add_argument(
        "--time",
        metavar="N",
        help="time step, counted from 0; -1 is the last; several become a series: all, or FIRST:STOP or FIRST:STOP:STRIDE "
        "as in Python",
    )
    _add_size(parser.add_argument_group("how large, how good"))
    _add_training(parser.add_argument_group("how it learns"))
    add_device(parser)
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of all random numbers (default 0)")
    parser.add_argument(
        "--checkpoint-interval",
        metavar="SECONDS",
        type=float,
        default=10.0,
        help="at most this much work is lost when the fit is killed (default 10)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model or checkpoint of another fit")
    add_json(parser)


def _add_size(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--preset",
        choices=("small", "medium", "large"),
        help="network size: small (71 thousand parameters, default), medium (1.1 million), large (17 million)",
    )
    group.add_argument(
        "--target-size",
        metavar="BYTES",
        help="in place of a preset: the largest network whose file fits into so much (300000, 500k, 2M, 64KiB); with "
        "--target-psnr: how large it may become",
    )
    group.add_argument(
        "--target-psnr",
        metavar="DB",
        type=float,
        help="stop as soon as the model is this good; where it cannot be, let the network grow, until it would be as "
        "large as the volume (only with --recipe fast)",
    )
    group.add_argument(
        "--precision",
        choices=("auto", "half", "single"),
        default="auto",
        help="of features in the file: float16 (half), float32 (single), or half where it costs less than 0.05 dB "
        "(auto, default)",
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--recipe",
        choices=("fast", "paper", "paper++"),
        default="fast",
        help="fast: small batches from where the error is, seconds to minutes (default); paper: the paper's schedule, hours; "
        "paper++: that of its successor AMGSRN++, hours",
    )
    group.add_argument(
        "--time-budget",
        metavar="T",
        help="train for so long (90, 30s, 2m, 1.5h), the decay of learning rates included; reading, placing grids and "
        "measuring at the end come on top; --recipe paper just stops then",
    )
    group.add_argument("--steps", metavar="N", type=int, help="optimiser steps, instead of the recipe's")
    group.add_argument("--batch", metavar="N", type=int, help="points per step, instead of the recipe's")
    group.add_argument(
        "--transform",
        choices=("matrix", "srt"),
        help="form of each grid's placement: scale, rotation, translation (srt), or free matrix (default with --recipe "
        "paper)",
    )
    group.add_argument(
        "--placement",
        choices=("auto", "data", "identity", "iterative", "density"),
        help="where the feature grids are: in boxes searched from the data (data); over the whole domain (identity, "
        "default with --recipe paper and paper++); there first, then moved early in the run to where the network errs "
        "(iterative); in boxes where that promises a gain, then moved likewise (auto, default with --recipe fast); "
        "density: over the whole domain, then moved by the paper's density loss too, for comparison",
    )


def run(arguments: argparse.Namespace) -> int:
    """Fit, and print what came out."""
    from amgsrn_core import read_header
    from amgsrn_core.device import select_device

    from ..errors import InvalidOption
    from ..fit import FitOptions, fit_volume, missed_target
    from ..outputs import check_writable
    from ..progress import say_on_stderr
    from ..quantities import parse_bytes, parse_duration
    from ..reading import read_volume
    from ..report import describe_model, emit
    from ..series import fit_series, parse_time
    from ..settings import FitSettings
    from ..threads import peak_memory
    from ..volumes import open_volume

    budget, size = arguments.time_budget, arguments.target_size
    settings = FitSettings.of(
        preset=arguments.preset,
        recipe=arguments.recipe,
        transform=arguments.transform,
        steps=arguments.steps,
        batch=arguments.batch,
        seed=arguments.seed,
        placement=arguments.placement,
        time_budget=None if budget is None else parse_duration("--time-budget", budget),
        target_psnr=arguments.target_psnr,
        target_size=None if size is None else parse_bytes("--target-size", size),
        precision=arguments.precision,
    )
    if not 0 <= arguments.checkpoint_interval < float("inf"):
        raise InvalidOption(
            f"--checkpoint-interval {arguments.checkpoint_interval} makes no sense; give seconds from 0"
        )
    device = select_device(arguments.device)
    output: Path = arguments.output
    check_writable(output)
    if output.exists() and arguments.input.exists() and output.samefile(arguments.input):
        raise InvalidOption(f"'{output}' is the volume itself; give another name with -o")
    options = FitOptions(device, arguments.checkpoint_interval, arguments.overwrite)
    time = parse_time(arguments.time)
    if isinstance(time, slice):
        with open_volume(arguments.input) as reader:
            result = fit_series(reader, arguments.variable, time, output, settings, options, arguments.name)
    else:
        volume = read_volume(arguments.input, arguments.variable, time, arguments.name)
        result = fit_volume(volume, output, settings, options)
    if not result.fresh:
        say_on_stderr(f"'{output}' is finished already, with the same volume and settings; nothing to do")
        warning = missed_target(result.training)
        if warning:
            say_on_stderr(warning)
    header = read_header(output)
    described = describe_model(output, header, result.training)
    if isinstance(time, slice):
        described["time_steps"] = [step.training for step in header.tree.members]
    described["peak_memory_bytes"] = peak_memory()
    emit(f"{output}", described, arguments.json)
    return 0
