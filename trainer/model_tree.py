# SPDX-License-Identifier: BSD-3-Clause
"""What a model is made of: its networks, bricks and time steps, for people and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amgsrn_core.storage.model_file import ModelHeader
from amgsrn_core.storage.tree import ConstantNode, EnsembleNode, LeafNode, NetworkNode, Node, SeriesNode

# Lines of bricks, and of steps, that people are shown; JSON has all of them.
_MOST_LINES = 32


def summary(header: ModelHeader) -> str:
    """One line: the kind of model, and what it consists of."""
    root = header.tree
    if isinstance(root, SeriesNode):
        return f"series of {root.steps} time steps, each {_kind(root.members[0])}"
    return _kind(root)


def members(header: ModelHeader) -> dict[str, list[dict[str, Any]]]:
    """`bricks` of an ensemble or `time_steps` of a series, JSON-ready, all of them; empty for a single network."""
    root = header.tree
    if isinstance(root, SeriesNode):
        steps = [
            {"step": step, "time": time, **_about(node)}
            for step, (time, node) in enumerate(zip(root.times, root.nodes, strict=True))
        ]
        return {"time_steps": steps}
    return {"bricks": _bricks(root)} if isinstance(root, EnsembleNode) else {}


def lines(header: ModelHeader) -> list[str]:
    """Bricks or time steps, one line each, as far as people want to read."""
    found = [line for entries in members(header).values() for line in map(_line, entries)]
    more = [f"... and {len(found) - _MOST_LINES} more (--json lists all)"] if len(found) > _MOST_LINES else []
    return found[:_MOST_LINES] + more


def _bricks(ensemble: EnsembleNode) -> list[dict[str, Any]]:
    across, up, _ = ensemble.bricks
    return [
        {"brick": [k % across, k // across % up, k // (across * up)], "nodes": [list(ends) for ends in node.extent]}
        | _about(node)
        for k, node in enumerate(ensemble.nodes)
    ]


def _about(node: Node) -> dict[str, Any]:
    """What is known about a member."""
    bricks = {"bricks": _bricks(node)} if isinstance(node, EnsembleNode) else {}
    gaps = any(isinstance(leaf, LeafNode) and leaf.mask_prefix is not None for leaf in node.walk())
    return {"kind": _kind(node), "parameters": node.parameters, "gaps": gaps, "training": node.training, **bricks}


def _kind(node: Node) -> str:
    if isinstance(node, EnsembleNode):
        count = sum(isinstance(brick, NetworkNode) for brick in node.nodes)
        others = f", {len(node.nodes) - count} constant or empty" if count < len(node.nodes) else ""
        return f"ensemble of {_times(node.bricks)} bricks ({count} networks{others}), overlap {_overlap(node)} nodes"
    if isinstance(node, ConstantNode):
        return "empty" if node.values is None else f"constant {', '.join(f'{value:.6g}' for value in node.values)}"
    assert isinstance(node, NetworkNode)
    config = node.config
    size = f"{config.grids} grids of {_times(config.resolution)} nodes, {config.channels} features each"
    layers = "-".join(str(width) for width in (*config.hidden, config.outputs))
    return f"network of {size}, MLP {layers}, transform {config.transform}"


def _line(entry: dict[str, Any]) -> str:
    training = entry["training"]
    psnr = "" if training.get("psnr_db") is None else f"  {training['psnr_db']:.2f} dB"
    if "step" in entry:
        return f"step {entry['step']} at {entry['time']:.10g}: {entry['parameters']:,} parameters{psnr}"
    place = ",".join(str(k) for k in entry["brick"])
    nodes = " ".join(f"{first}-{last}" for first, last in entry["nodes"])
    size = f"{entry['parameters']:,} parameters" if entry["parameters"] else entry["kind"]
    return f"brick {place}: nodes {nodes}  {size}{psnr}{'  gaps' if entry['gaps'] else ''}"


def _overlap(node: EnsembleNode) -> str:
    widths = node.partition.overlap
    return f"{widths[0]:g}" if len(set(widths)) == 1 else " ".join(f"{width:g}" for width in widths)


def _times(counts: Sequence[int]) -> str:
    return " x ".join(str(count) for count in counts)
