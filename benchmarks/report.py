# SPDX-License-Identifier: BSD-3-Clause
"""Results as JSON for machines and a Markdown table for people, with the machine and the versions they hold for."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amgsrn_core import __version__, kernels


def environment(device: torch.device) -> dict[str, str]:
    """What the results depend on."""
    gpu = {} if device.type == "cpu" else {"GPU": torch.cuda.get_device_name(device)}
    return {
        **gpu,
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "kernels": kernels.chosen_backend(device.type)[1],
        "neural volumes": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def folder_name(device: torch.device) -> str:
    """Where results of a device belong: 'cpu', or a GPU's name in small letters and dashes."""
    if device.type == "cpu":
        return "cpu"
    return re.sub("[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")


def write(folder: Path, name: str, description: str, rows: list[dict[str, Any]], device: torch.device) -> str:
    """Write NAME.json and NAME.md into a folder; returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    setting = environment(device)
    (folder / f"{name}.json").write_text(json.dumps({"environment": setting, "rows": rows}, indent=1) + "\n")
    columns = list(rows[0])
    lines = [f"# {name.capitalize()}", "", description, ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_text(row[c]) for c in columns) + " |" for row in rows]
    lines += ["", "Measured on: " + ", ".join(f"{k} {v}" for k, v in setting.items()) + "."]
    text = "\n".join(lines) + "\n"
    (folder / f"{name}.md").write_text(text)
    return text


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
