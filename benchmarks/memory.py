# SPDX-License-Identifier: BSD-3-Clause
"""Working set of inference and training: how much the peak RSS grows beyond inputs and results, by points and grids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

_SCRIPT = """
import json, resource, sys
import torch
from amgsrn_core import kernels
from amgsrn_core.models import AMGSRN, AMGSRNConfig
what, count, grids, backend = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
net = AMGSRN(AMGSRNConfig(grids=grids))
points, targets = torch.rand(count, 3) * 2 - 1, torch.rand(count, 1)
weights = net.mlp_parameters()[0]
def call(points, targets):
    if what == "inference":
        return kernels.evaluator(net.transforms(), net.grids, weights)(points)
    kernels.mean_squared_error(points, targets, net.transforms(), net.grids, weights).backward()
call(points[:1000], targets[:1000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
call(points, targets)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
result = count * 4 / 1024 if what == "inference" else 0
print(json.dumps((grown - result) / 1024))
"""


def run() -> list[dict[str, Any]]:
    """One row per task, number of points and of grids; each measured in a process of its own."""
    rows = []
    for what in ("inference", "training"):
        for count in (1 << 20, 1 << 24):
            for grids in (16, 64):
                environment = {**os.environ, "AMGSRN_KERNELS": "auto"}
                command = [sys.executable, "-c", _SCRIPT, what, str(count), str(grids), "auto"]
                output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
                rows.append({"task": what, "points": count, "grids": grids, "working set MiB": json.loads(output)})
    return rows
