# SPDX-License-Identifier: BSD-3-Clause
"""python -m trainer fit"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import add_format, add_json, raw_format

if TYPE_CHECKING:
    from ..ensemble.plan import Wishes
    from ..fit import FitOptions
    from ..settings import FitSettings
    from ..volumes import RawFormat

NAME = "fit"
HELP = "learn a volume; running it again resumes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("input", metavar="INPUT", type=Path, help="volume: NetCDF, VTK, Exodus, Zarr, GRIB or raw file")
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
    add_format(parser)
    _add_size(parser.add_argument_group("how large, how good"))
    _add_training(parser.add_argument_group("how it learns"))
    _add_bricks(parser.add_argument_group("brick by brick, for volumes that are large"))
    parser.add_argument(
        "--device",
        metavar="D",
        default="auto",
        help="auto (default), cpu, cuda:0, ...; several for bricks: cuda:0,cuda:1; cuda with --scheduler: its workers with GPUs",
    )
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


def _add_bricks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--bricks",
        metavar="I,J,K",
        default="auto",
        help="how many bricks along x, y and z, with a network each; auto (default): one, or as many as memory and "
        "--workers ask for",
    )
    group.add_argument(
        "--ghost",
        metavar="N",
        type=float,
        default=None,
        help="how many nodes neighbouring bricks reach into each other, and are blended (default 2)",
    )
    group.add_argument(
        "--workers", metavar="N", type=int, help="bricks learned at a time (default: one for each core, or GPU)"
    )
    group.add_argument(
        "--scheduler",
        metavar="S",
        help="learn the bricks on the workers of a Dask cluster: address of its scheduler, or scheduler file",
    )
    group.add_argument(
        "--max-memory",
        metavar="BYTES",
        help="of all processes together, or of each worker of a cluster (500M, 2GiB; default: most of what is free)",
    )
    group.add_argument(
        "--only-bricks",
        metavar="K,...",
        help="finish these bricks and stop, without making a model; the same command without it goes on",
    )
    group.add_argument("--log", metavar="FILE", type=Path, help="append what happens to bricks, as JSON lines")


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
    from dataclasses import replace

    import torch

    from amgsrn_core import read_header

    from ..devices import select_devices
    from ..ensemble.fit import Source, fit_ensemble
    from ..ensemble.plan import Wishes, make_plan, parse_bricks, parse_numbers
    from ..ensemble.report import describe_bricks
    from ..errors import InvalidOption
    from ..fit import FitOptions, fit_volume, missed_target
    from ..outputs import check_writable
    from ..progress import say_on_stderr
    from ..quantities import parse_bytes, parse_duration
    from ..reading import read_volume
    from ..report import describe_model, emit
    from ..series import parse_time
    from ..settings import FitSettings
    from ..threads import peak_memory

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
    if arguments.name is not None and not arguments.name.strip():
        raise InvalidOption("--name is empty; give the array a name, or leave it out")
    # Those of a cluster are not this machine's.
    elsewhere = arguments.scheduler is not None
    devices = (arguments.device,) if elsewhere else tuple(str(device) for device in select_devices(arguments.device))
    output: Path = arguments.output
    check_writable(output)
    if output.exists() and arguments.input.exists() and output.samefile(arguments.input):
        raise InvalidOption(f"'{output}' is the volume itself; give another name with -o")
    wishes = Wishes(
        bricks=None if arguments.bricks == "auto" else parse_bricks(arguments.bricks),
        overlap=arguments.ghost,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        memory=None if arguments.max_memory is None else parse_bytes("--max-memory", arguments.max_memory),
        only=None if arguments.only_bricks is None else parse_numbers("--only-bricks", arguments.only_bricks),
        log=arguments.log,
    )
    raw = raw_format(arguments)
    time = parse_time(arguments.time)
    options = FitOptions(
        torch.device("cpu" if elsewhere else devices[0]), arguments.checkpoint_interval, arguments.overwrite
    )
    if isinstance(time, slice):
        return _fit_series(arguments, raw, time, settings, options, devices, wishes)
    source = Source.of(arguments.input, arguments.variable, time, arguments.name, raw)
    plan = make_plan(source, output, settings, devices, wishes)
    if plan is None:
        volume = read_volume(arguments.input, arguments.variable, time, arguments.name, raw)
        result = fit_volume(volume, output, settings, options)
    else:
        for note in source.layout.notes:
            say_on_stderr(f"note: {note}")
        plan = replace(plan, checkpoint_interval=arguments.checkpoint_interval, overwrite=arguments.overwrite)
        result = fit_ensemble(source, output, settings, plan)
    if not result.fresh:
        say_on_stderr(f"'{output}' is finished already, with the same volume and settings; nothing to do")
        warning = missed_target(result.training)
        if warning:
            say_on_stderr(warning)
    if wishes.only is not None:
        emit(f"parts of {output}", describe_bricks(result.training), arguments.json)
        return 0
    described = describe_model(output, read_header(output), result.training)
    described.update(describe_bricks(result.training) if plan is not None else {})
    described.setdefault("peak_memory_bytes", peak_memory())
    emit(f"{output}", described, arguments.json)
    return 0


def _fit_series(
    arguments: argparse.Namespace,
    raw: RawFormat | None,
    time: slice,
    settings: FitSettings,
    options: FitOptions,
    devices: tuple[str, ...],
    wishes: Wishes,
) -> int:
    """Fit several time steps."""
    from dataclasses import replace

    from ..progress import say_on_stderr
    from ..report import emit
    from ..series import Series, describe_series, fit_series, plan_bricks
    from ..threads import peak_memory

    output: Path = arguments.output
    series = Series.of(arguments.input, arguments.variable, time, arguments.name, raw)
    for note in series.layout.notes:
        say_on_stderr(f"note: {note}")
    bricks = plan_bricks(series, output, settings, devices, wishes)
    if bricks is not None:
        bricks = replace(bricks, checkpoint_interval=options.checkpoint_interval)
    result = fit_series(series, output, settings, options, bricks)
    if not result.fresh:
        say_on_stderr(f"'{output}' is finished already, with the same volume and settings; nothing to do")
    emit(
        f"{output}",
        {**describe_series(output, result.training), "peak_memory_bytes": peak_memory()},
        arguments.json,
    )
    return 0
