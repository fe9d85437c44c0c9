# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of the results in a folder: speed.png (ratios to the reference) and quality.png (PSNR by CPU time)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

_OURS, _THEIRS = "tab:blue", "tab:orange"


def draw(folder: Path) -> list[Path]:
    """Draw what there are results for; returns the files written."""
    drawn = []
    speed = [part for part in (_inference_ratios(folder), _training_ratios(folder)) if part]
    if speed:
        drawn.append(_draw_speed(speed, folder / "speed.png"))
    if _rows(folder, "quality"):
        drawn.append(_draw_quality(_rows(folder, "quality"), _rows(folder, "authors"), folder / "quality.png"))
    return drawn


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def _inference_ratios(folder: Path) -> tuple[str, list[str], dict[str, list[float]]] | None:
    rows = _rows(folder, "inference")
    kinds = [key.removesuffix(" ratio") for key in rows[0] if key.endswith(" ratio")] if rows else []
    labels = [f"{row['model']}, {row['points']}" for row in rows]
    ratios = {kind: [row[f"{kind} ratio"] for row in rows] for kind in kinds}
    return ("inference", labels, ratios) if rows else None


def _training_ratios(folder: Path) -> tuple[str, list[str], dict[str, list[float]]] | None:
    rows = _rows(folder, "training")
    labels = [f"{row['model']}, {row['points']}" for row in rows]
    return ("training step", labels, {"native": [row["ratio"] for row in rows]}) if rows else None


def _draw_speed(parts: list[tuple[str, list[str], dict[str, list[float]]]], path: Path) -> Path:
    figure, axes = plt.subplots(1, len(parts), figsize=(5.5 * len(parts), 3.8), squeeze=False)
    for axis, (title, labels, ratios) in zip(axes[0], parts, strict=True):
        height = 0.8 / len(ratios)
        for i, (kind, values) in enumerate(ratios.items()):
            positions = [row + i * height for row in range(len(labels))]
            bars = axis.barh(positions, values, height=0.9 * height, label=kind)
            axis.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
        axis.set_yticks([row + 0.4 - height / 2 for row in range(len(labels))], labels)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.axvline(1, color="grey", linewidth=0.8)
        axis.set_title(f"{title}: times as fast as PyTorch, one core")
        if len(ratios) > 1:
            axis.legend(fontsize=8)
    return _save(figure, path)


def _draw_quality(rows: list[dict[str, Any]], authors: list[dict[str, Any]], path: Path) -> Path:
    theirs = {row["volume"]: row for row in authors}
    columns = min(4, len(rows))
    lines = math.ceil(len(rows) / columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.2 * columns, 2.6 * lines), squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    for axis, row in zip(axes.flat, rows, strict=False):
        _curve(axis, row, "CPU s", _OURS, "fast recipe")
        if row["volume"] in theirs:
            _curve(axis, theirs[row["volume"]], "CPU s", _THEIRS, "authors' schedule")
        axis.set_xscale("log")
        axis.set_title(row["volume"], fontsize=8)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("CPU seconds, one core", fontsize=9)
    figure.supylabel("PSNR (dB)", fontsize=9)
    return _save(figure, path)


def _curve(axis: Any, row: dict[str, Any], prefix: str, colour: str, label: str) -> None:
    marks = [key.removeprefix(f"{prefix} @") for key in row if key.startswith(f"{prefix} @")]
    seconds = [row[f"{prefix} @{mark}"] for mark in marks]
    axis.plot(seconds, [row[f"dB @{mark}"] for mark in marks], "o-", color=colour, markersize=3, label=label)


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
