# SPDX-License-Identifier: BSD-3-Clause
"""python -m trainer render"""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_device, add_json, add_overwrite
from .numbers import numbers

NAME = "render"
HELP = "draw a picture of a model, without ParaView"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", type=Path, help=".amgsrn file")
    parser.add_argument("output", metavar="OUT.png", type=Path, help="picture to write")
    parser.add_argument(
        "--transfer-function",
        metavar="FILE.json",
        type=Path,
        help="colour map exported from ParaView's Color Map Editor (default: Cool to Warm over the model's range)",
    )
    parser.add_argument(
        "--range",
        metavar="LOW,HIGH",
        type=numbers(2, float, "0,255"),
        help="values that the colour map is stretched to (write --range=-1,1 for negative numbers)",
    )
    parser.add_argument(
        "--size", metavar="W,H", type=numbers(2, int, "800,600"), default=(800, 600), help="in pixels (default 800,600)"
    )
    parser.add_argument(
        "--camera",
        metavar="AZIMUTH,ELEVATION",
        type=numbers(2, float, "30,20"),
        default=(30.0, 20.0),
        help="where the eye stands, in degrees: 0,0 looks along +y, elevation 90 from above (default 30,20)",
    )
    parser.add_argument(
        "--samples-per-voxel", metavar="N", type=float, default=1.0, help="samples along a ray per voxel (default 1)"
    )
    parser.add_argument(
        "--background",
        metavar="R,G,B",
        type=numbers(3, float, "1,1,1"),
        help="colour behind the volume, 0 to 1 (default: transparent)",
    )
    parser.add_argument("--time", metavar="N", type=int, help="time step of a series, counted from 0; -1 is the last")
    parser.add_argument(
        "--component",
        metavar="NAME",
        help="of several components, the one that is drawn: its name, or number from 0, or magnitude (default)",
    )
    add_device(parser)
    add_overwrite(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw, and write the picture."""
    import time

    from amgsrn_core.storage.atomic import write_atomically

    from ..errors import InvalidOption
    from ..opening import choose_component, open_step
    from ..outputs import check_replaceable
    from ..png import encode_png
    from ..progress import Display
    from ..render import draw, over_background, transfer_function
    from ..report import emit

    started, started_cpu = time.monotonic(), time.process_time()
    output: Path = arguments.output
    if output.suffix.lower() != ".png":
        raise InvalidOption(f"'{output}' should end in .png")
    if not all(1 <= n <= 16384 for n in arguments.size):
        raise InvalidOption(f"--size {arguments.size[0]},{arguments.size[1]} makes no sense; give 1 to 16384 pixels")
    if not 0.01 <= arguments.samples_per_voxel <= 100:
        raise InvalidOption(f"--samples-per-voxel {arguments.samples_per_voxel} makes no sense; give 0.01 to 100")
    field = open_step(arguments.model, arguments.device, arguments.time)
    component = choose_component(field.array, arguments.component)
    check_replaceable(output, arguments.overwrite)
    colours = transfer_function(field, arguments.transfer_function, arguments.range, component)
    with Display("drawing", 1000) as display:
        picture = draw(
            field,
            colours,
            arguments.size,
            arguments.camera[0],
            arguments.camera[1],
            arguments.samples_per_voxel,
            lambda fraction: display.update(int(1000 * fraction)),
            component,
        )
    write_atomically(output, encode_png(over_background(picture, arguments.background)))
    result = {
        "output": str(output),
        "bytes": output.stat().st_size,
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(time.process_time() - started_cpu, 3),
    }
    emit(f"{output}", result, arguments.json)
    return 0
