# SPDX-License-Identifier: BSD-3-Clause
"""`python -m benchmarks [NAME ...]`: run benchmarks and write their results into benchmarks/results/."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# One thread: figures are per core.
os.environ["OMP_NUM_THREADS"] = "1"

from amgsrn_core.device import select_device
from amgsrn_core.errors import DeviceUnavailable

from . import authors, ensemble, inference, memory, placement, plot, quality, report, scaling, seams, training

_ALL = {
    module.__name__.rsplit(".", 1)[1]: module
    for module in (inference, ensemble, training, memory, authors, quality, placement, seams, scaling)
}
# Placement gains the same on every device.
_ON_GPU = ("inference", "ensemble", "training", "memory")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    parser.add_argument("names", nargs="*", choices=[[], *_ALL], help=f"which of {', '.join(_ALL)}; all by default")
    parser.add_argument("--device", default="cpu", help=f"cpu, cuda or cuda:1, ...: on a GPU, {', '.join(_ON_GPU)}")
    parser.add_argument("--output", type=Path, help="folder for the results; benchmarks/results/DEVICE by default")
    arguments = parser.parse_args()
    try:
        device = select_device(arguments.device)
    except DeviceUnavailable as error:
        parser.error(str(error))
    possible = tuple(_ALL) if device.type == "cpu" else _ON_GPU
    for name in arguments.names:
        if name not in possible:
            parser.error(f"on a GPU there are {', '.join(possible)}")
    folder = arguments.output or Path(__file__).parent / "results" / report.folder_name(device)
    for name in arguments.names or possible:
        module = _ALL[name]
        description = " ".join((module.__doc__ or "").split())
        print(report.write(folder, name, description, module.run(device), device))
    for picture in plot.draw(folder):
        print(f"drawn: {picture}")


if __name__ == "__main__":
    main()
