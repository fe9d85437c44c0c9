# SPDX-License-Identifier: BSD-3-Clause
"""Compiles the GPU kernels for several GPUs, none of which need be here, and prints what they need, as JSON.

    python tests/core/compile_gpu_kernels.py

Each row: kernel, hidden layers, precision, target, bytes of shared memory, registers per thread, bytes spilled to memory
(on AMD: registers). COMPILE_GPU_KERNELS=quick leaves out most combinations.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from itertools import pairwise
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from amgsrn_core.kernels import AdamSettings, Member, Rates, reference
from amgsrn_core.kernels.gpu import ensemble_evaluator, launch
from amgsrn_core.kernels.gpu.batched_fit import GpuBatchedFit
from amgsrn_core.kernels.gpu.gradients import Shapes, Wanted, zeros
from amgsrn_core.models import AMGSRN, AMGSRNConfig
from amgsrn_core.partition import Partition

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
FULL = (((), "ieee"), ((64,), "ieee"), ((64, 64), "ieee"), ((64, 64), "tf32"), ((64, 64), "bf16"))
FULL += (((128, 128), "ieee"), ((128, 128), "bf16"), ((256, 256, 256), "ieee"), ((256, 256, 256), "bf16"))
QUICK = (((64, 64), "ieee"),)

Launch = tuple[Any, dict[str, Any]]


def launches(hidden: tuple[int, ...], precision: str) -> list[Launch]:
    """What would be launched for a network: kernels and their arguments."""
    made: list[Launch] = []

    def note(kernel: Any, programs: tuple[int, ...], **arguments: Any) -> None:
        made.append((kernel, {"num_stages": 1, **arguments}))

    launch.start = note
    points, values, transforms = torch.zeros(64, 3), torch.zeros(64, 1), torch.zeros(16, 4, 4)
    grids = torch.zeros(16, 2, 32, 32, 32)
    weights = [torch.zeros(b, a) for a, b in pairwise((32, *hidden, 1))]
    half = grids.half().contiguous(memory_format=torch.channels_last_3d)
    launch.run_forward(values, points, transforms, half, weights, [], precision)
    shapes = Shapes.of(transforms, weights, [])
    for wanted, loss in ((Wanted(False, True, True, True), torch.zeros(())), (Wanted(True, False, False, False), None)):
        buffers = zeros(wanted, points, grids, shapes)
        launch.run_backward(values, loss, *buffers, wanted, points, transforms, grids, weights, [], precision)
    launch.default_precision = lambda device: precision
    train_bricks(hidden)
    infer_bricks(hidden)
    if not hidden or hidden == QUICK[0][0]:
        launch.run_density(values, points, transforms)
        launch.run_density_backward(transforms, values, points, transforms)
    return made


def train_bricks(hidden: tuple[int, ...]) -> None:
    """A step of two networks at once."""
    networks = [AMGSRN(AMGSRNConfig(16, 2, (32, 32, 32), hidden)).learned() for _ in range(2)]
    fit = GpuBatchedFit(networks, AdamSettings(), reference.mean_squared_error)
    fit.step(torch.zeros(2, 64, 3), torch.zeros(2, 64, 1), [Rates(1.0, 1.0, 1.0)] * 2)


def infer_bricks(hidden: tuple[int, ...]) -> None:
    """Values of an ensemble of two networks."""
    networks = [AMGSRN(AMGSRNConfig(16, 2, (32, 32, 32), hidden)) for _ in range(2)]
    one = torch.ones(1)
    members = [Member(one, one, n.transforms(), n.grids, *n.mlp_parameters()) for n in networks]
    evaluate = ensemble_evaluator.Evaluator(Partition.equal_split((8, 8, 8), (2, 1, 1)), members, 1)
    evaluate(torch.zeros(64, 3))


def source(kernel: Any, arguments: dict[str, Any]) -> ASTSource:
    """The kernel, specialized as Triton does it at a launch: pointers and multiples of 16, and ones."""
    signature, constants, attributes = {}, {}, {}
    for i, parameter in enumerate(kernel.params):
        value, name, special = arguments[parameter.name], parameter.name, not parameter.do_not_specialize
        if parameter.is_constexpr or (special and isinstance(value, int) and value == 1):
            signature[name], constants[name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name], attributes[(i,)] = TYPES[value.dtype], [["tt.divisibility", 16]]
        else:
            signature[name] = "fp32" if isinstance(value, float) else "i32"
            if special and isinstance(value, int) and value % 16 == 0:
                attributes[(i,)] = [["tt.divisibility", 16]]
    return ASTSource(kernel, signature, constants, attributes)


def registers(compiled: Any, target: str) -> tuple[int, int]:
    """Registers per thread, and what is spilled."""
    if target.startswith("gfx"):
        text = compiled.asm["amdgcn"]
        found = [re.search(rf"\.{key}:\s+(\d+)", text) for key in ("vgpr_count", "vgpr_spill_count")]
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
            file.write(compiled.asm["ptx"])
            file.flush()
            architecture = target + ("a" if target == "sm_90" else "")
            command = [triton.knobs.nvidia.ptxas.path, "-v", f"--gpu-name={architecture}", file.name, "-o", os.devnull]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        found = [re.search(pattern, text) for pattern in (r"Used (\d+) registers", r"(\d+) bytes spill stores")]
    used, spilled = (int(match[1]) for match in found if match)
    return used, spilled


def main() -> None:
    rows = []
    for hidden, precision in QUICK if os.environ.get("COMPILE_GPU_KERNELS") == "quick" else FULL:
        for kernel, arguments in launches(hidden, precision):
            for name, target in TARGETS.items():
                if precision == "tf32" and name == "gfx942":
                    continue
                options = {key: arguments[key] for key in ("num_warps", "num_stages")}
                compiled = triton.compile(source(kernel, arguments), target=target, options=options)
                used, spilled = registers(compiled, name)
                row = {"kernel": kernel.__name__, "hidden": hidden, "precision": precision, "target": name}
                rows.append({**row, "shared": compiled.metadata.shared, "registers": used, "spilled": spilled})
    print(json.dumps(rows).replace("}, ", "},\n "))


if __name__ == "__main__":
    main()
