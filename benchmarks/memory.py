# SPDX-License-Identifier: BSD-3-Clause
"""Working set of inference and training: how much the peak grows beyond inputs and results, by points and
grids: of the RSS, or on a GPU of the memory that PyTorch has allocated there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import torch

_SCRIPT = """
import json, sys
from pathlib import Path
import torch
from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN, AMGSRNConfig

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

what, count, grids, device = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), torch.device(sys.argv[4])
net = AMGSRN(AMGSRNConfig(grids=grids)).to(device)
points, targets = torch.rand(count, 3, device=device) * 2 - 1, torch.rand(count, 1, device=device)
weights = net.mlp_parameters()[0]
def call(points, targets):
    if what == "inference":
        return kernels.evaluator(net.transforms(), net.grids, weights)(points)
    state.step(points, targets, kernels.Rates(1e-3, 1e-3, 1e-3))
state = kernels.fit_state(net.learned()) if what == "training" else None
call(points[:1000], targets[:1000])
if device.type == "cpu":
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    call(points, targets)
    peak = resident("VmHWM")
else:
    before = torch.cuda.memory_allocated(device) / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    call(points, targets)
    peak = torch.cuda.max_memory_allocated(device) / 2**20
results = count * 4 / 2**20 if what == "inference" else 0
print(json.dumps(peak - before - results))
"""


def run(device: torch.device) -> list[dict[str, Any]]:
    """One row per task, number of points and of grids; each measured in a process of its own."""
    rows = []
    for what in ("inference", "training"):
        for count in (1 << 20, 1 << 24):
            for grids in (16, 64):
                command = [sys.executable, "-c", _SCRIPT, what, str(count), str(grids), str(device)]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                rows.append({"task": what, "points": count, "grids": grids, "working set MiB": json.loads(output)})
    return rows
