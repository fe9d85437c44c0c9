# SPDX-License-Identifier: BSD-3-Clause
"""python -m trainer export"""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_device, add_json, add_overwrite
from .numbers import numbers

NAME = "export"
HELP = "write a model's values as a volume"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", type=Path, help=".amgsrn file")
    parser.add_argument("output", metavar="OUT", type=Path, help="file to write, .nc (NetCDF) or .vti (VTK image data)")
    parser.add_argument(
        "--shape",
        metavar="X,Y,Z",
        type=numbers(3, int, "256,256,256"),
        help="number of values along each axis (default: as in the original volume)",
    )
    parser.add_argument(
        "--roi",
        metavar="X0,X1,Y0,Y1,Z0,Z1",
        type=numbers(6, int, "0,63,0,63,0,63"),
        help="first and last voxel along each axis, both included (default: all)",
    )
    parser.add_argument("--time", metavar="N", type=int, help="time step of a series, counted from 0; -1 is the last")
    add_device(parser)
    add_overwrite(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the volume."""
    import math
    import time

    from ..export import check_kind, export
    from ..opening import open_step
    from ..outputs import check_replaceable
    from ..progress import Display
    from ..report import emit

    started, started_cpu = time.monotonic(), time.process_time()
    output: Path = arguments.output
    check_kind(output)
    field = open_step(arguments.model, arguments.device, arguments.time)
    check_replaceable(output, arguments.overwrite)
    with Display("exporting", 1000) as display:
        shape = export(
            field, output, arguments.shape, arguments.roi, lambda fraction: display.update(int(1000 * fraction))
        )
    seconds = time.monotonic() - started
    result = {
        "output": str(output),
        "shape": list(shape),
        "bytes": output.stat().st_size,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(time.process_time() - started_cpu, 3),
        "points_per_second": round(math.prod(shape) / max(seconds, 1e-9), 1),
    }
    emit(f"{output}: {shape[2]} x {shape[1]} x {shape[0]} values", result, arguments.json)
    return 0
