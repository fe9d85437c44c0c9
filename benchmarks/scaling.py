# SPDX-License-Identifier: BSD-3-Clause
"""Bricks learned side by side: the same 4 x 2 x 2 bricks of a synthetic volume of 256^3 values (67 MB, chunks of 32^3, made
on the spot by examples/make_large_volume.py) by one, two and four processes with one thread each.

`s` is the wall time of the whole command, `start` until the first brick is begun, `end` from the last brick to the end
(putting the file together). `model` is what docs/scaling.md predicts from the row of one process: start, then CPU time of
all bricks over processes that have a core to themselves, then end. `read` is bytes decoded from the file over bytes that
bricks need, `peak MB` the memory of all processes together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

_EXAMPLE = Path(__file__).parents[1] / "examples" / "make_large_volume.py"
_SIZE, _CHUNK = 256, 32
_BRICKS = "4,2,2"
_STEPS = 2000
_WORKERS = (1, 2, 4)


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per number of processes."""
    del device  # how much faster several GPUs are is another matter
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder) / "volume.nc"
        command = [sys.executable, _EXAMPLE, "--size", _SIZE, "--chunk", _CHUNK, "--output", volume]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        for workers in _WORKERS:
            rows.append(_row(volume, workers, rows[0] if rows else None))
    return rows


def _row(volume: Path, workers: int, first: dict[str, Any] | None) -> dict[str, Any]:
    model, log = volume.with_name(f"{workers}.amgsrn"), volume.with_name(f"{workers}.jsonl")
    options = ["--bricks", _BRICKS, "--workers", workers, "--steps", _STEPS, "--device", "cpu"]
    command = [sys.executable, "-m", "trainer", "fit", volume, "-o", model, "--json", "--log", log, *options]
    # One thread each, so that processes are what is compared.
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    began, began_at = time.monotonic(), time.time()
    done = subprocess.run([str(word) for word in command], env=settings, stdout=subprocess.PIPE, text=True, check=True)
    seconds, result = time.monotonic() - began, json.loads(done.stdout)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    bricks = [event for event in events if event["event"] == "done"]
    row: dict[str, Any] = {
        "processes": workers,
        "s": seconds,
        "start": min(event["time"] for event in events if event["event"] == "started") - began_at,
        "end": began_at + seconds - max(event["time"] for event in bricks),
        "CPU s of bricks": sum(event["cpu_seconds"] for event in bricks),
    }
    source = first or row
    at_once = min(workers, os.cpu_count() or 1)
    row["model"] = source["start"] + source["CPU s of bricks"] / at_once + source["end"]
    row["speed-up"] = source["s"] / seconds
    row["read"] = result["bytes_read"] / result["bytes_needed"]
    row["peak MB"] = result["peak_memory_bytes"] / 1e6
    row["dB"] = result["psnr_db"]
    return row
