# SPDX-License-Identifier: BSD-3-Clause
"""Options that several commands have."""

from __future__ import annotations

import argparse


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device, for `amgsrn_core.device.select_device`."""
    parser.add_argument("--device", metavar="D", default="auto", help="auto (default), cpu, cuda:0, ...")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json, for `report.emit`."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """--overwrite, for `outputs.check_replaceable`."""
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
