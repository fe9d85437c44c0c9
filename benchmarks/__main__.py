# SPDX-License-Identifier: BSD-3-Clause
"""`python -m benchmarks [NAME ...]`: run benchmarks and write their results into benchmarks/results/."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# One thread: figures are per core.
os.environ["OMP_NUM_THREADS"] = "1"

from . import inference, memory, placement, report, training

_ALL = {module.__name__.rsplit(".", 1)[1]: module for module in (inference, training, memory, placement)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    parser.add_argument("names", nargs="*", choices=[[], *_ALL], help=f"which of {', '.join(_ALL)}; all by default")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "cpu")
    arguments = parser.parse_args()
    for name in arguments.names or _ALL:
        module = _ALL[name]
        description = " ".join((module.__doc__ or "").split())
        print(report.write(arguments.output, name, description, module.run()))


if __name__ == "__main__":
    main()
