# SPDX-License-Identifier: BSD-3-Clause
"""Results on stdout: one JSON object, or a short table."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amgsrn_core.storage.model_file import ModelHeader

_LABELS = {
    "psnr_db": ("PSNR", "{:.2f} dB"),
    "target_psnr_db": ("target", "{:.2f} dB"),
    "target_reached": ("target reached", "{}"),
    "ssim": ("SSIM", "{:.4f}"),
    "rmse": ("RMSE", "{:.6g}"),
    "max_abs_error": ("largest error", "{:.6g}"),
    "wrong_gaps": ("wrong gaps", "{:,} nodes"),
    "bytes": ("file size", "{:,} bytes"),
    "compression_ratio": ("compression", "{:.1f} : 1"),
    "parameters": ("parameters", "{:,}"),
    "precision": ("precision", "{}"),
    "steps": ("steps", "{:,}"),
    "seconds": ("wall time", "{:.1f} s"),
    "cpu_seconds": ("CPU time", "{:.1f} s"),
    "points_per_second": ("speed", "{:,.0f} points/s"),
    "peak_memory_bytes": ("peak memory", "{:,} bytes"),
}


def emit(title: str, result: Mapping[str, Any], as_json: bool) -> None:
    """Print a result to stdout.

    Args:
        title: heading of the table.
        result: JSON-ready; the table shows the keys it has labels for, in their order.
        as_json: one JSON object instead of a table.
    """
    if as_json:
        print(json.dumps(result, allow_nan=False), file=sys.stdout, flush=True)
        return
    lines = [title]
    for key, (label, form) in _LABELS.items():
        if key in result:
            value = result[key]
            lines.append(f"  {label:<20}{'perfect' if value is None and key == 'psnr_db' else _shown(value, form)}")
    for part in result.get("components", ()):
        psnr = "perfect" if part["psnr_db"] is None else f"{part['psnr_db']:.2f} dB"
        error = f"RMSE {part['rmse']:.6g}, largest error {part['max_abs_error']:.6g}"
        lines.append(f"  {part['name'] + ' ':<20}{psnr}, {error}")
    print("\n".join(lines), file=sys.stdout, flush=True)


def describe_model(path: Path, header: ModelHeader, training: Mapping[str, Any]) -> dict[str, Any]:
    """What is known about a model file: size on disk, ratio to the volume it was made from, errors and cost.

    Ratios are to the volume's values as stored in its file's number type, uncompressed.
    """
    size = path.stat().st_size
    x, y, z = header.domain.dimensions
    raw = training.get("source", {}).get("bytes", 4 * x * y * z)
    keys = (
        "psnr_db",
        "target_psnr_db",
        "target_reached",
        "ssim",
        "rmse",
        "max_abs_error",
        "components",
        "wrong_gaps",
        "precision",
        "half_costs_db",
        "steps",
        "networks",
        "seconds",
        "training_seconds",
        "cpu_seconds",
        "points_per_second",
    )
    known = {key: training[key] for key in keys if key in training}
    return {
        "model": str(path),
        **known,
        "parameters": header.tree.parameters,
        "bytes": size,
        "compression_ratio": round(raw / size, 3),
    }


def _shown(value: Any, form: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else form.format(value)
