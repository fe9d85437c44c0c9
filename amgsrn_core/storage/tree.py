# SPDX-License-Identifier: BSD-3-Clause
"""What a stored field is made of: a tree of nodes, each described by JSON, its tensors named by its prefix.

- `amgsrn`: a network;
- `constant`: the same values everywhere, or none;
- `ensemble`: a member for each brick of the volume, prefix `brick<k>.`;
- `series`: a member for each time step, prefix `step<i>.`.

A series is of ensembles, networks and constants, an ensemble of networks and constants. The latter two may have a mask, tensor
`<prefix>mask`; a step may use that of an earlier step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..domain import Domain, Extent
from ..errors import InvalidPartition
from ..field import ArrayInfo, Ranges
from ..models.amgsrn import AMGSRNConfig
from ..partition import Partition
from . import masks

# Nodes along an axis; VTK counts points with signed 64-bit integers and extents with 32 bits.
_MOST_NODES = 2**31 - 1


@dataclass(frozen=True)
class Node:
    """What all nodes have.

    Attributes:
        prefix: of its tensors' names.
        extent: the nodes of the volume that it is about.
        training: what is known about its fit, JSON-ready.
    """

    prefix: str
    extent: Extent
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Nodes of its box [z, y, x]."""
        x, y, z = (last - first + 1 for first, last in self.extent)
        return (z, y, x)

    @property
    def label(self) -> str:
        """What messages call it: 'brick 7', 'step 3, brick 7'; empty for the root."""
        names = [name for name in self.prefix.split(".") if name]
        return ", ".join(name.replace("brick", "brick ").replace("step", "step ") for name in names)

    @property
    def members(self) -> tuple[Node, ...]:
        """The nodes below it."""
        return ()

    @property
    def parameters(self) -> int:
        """Learned values in it and below."""
        return sum(member.parameters for member in self.members)

    @property
    def has_gaps(self) -> bool:
        """Whether there are places with no value in it or below."""
        return any(member.has_gaps for member in self.members)

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        yield self
        for member in self.members:
            yield from member.walk()

    @property
    def steps(self) -> int | None:
        """Number of time steps; None unless it is a series."""
        return None

    @property
    def bricks(self) -> tuple[int, int, int] | None:
        """Number of bricks along x, y, z; None where there are none. All steps of a series have those of the first."""
        return self.members[0].bricks if self.members else None


@dataclass(frozen=True)
class LeafNode(Node):
    """A node with values of its own.

    Attributes:
        mask_prefix: prefix of the mask's tensor, that of another node where masks are shared; None: no gaps.
    """

    mask_prefix: str | None = None

    @property
    def has_gaps(self) -> bool:
        return self.mask_prefix is not None


@dataclass(frozen=True, kw_only=True)
class NetworkNode(LeafNode):
    """A network.

    Attributes:
        config: its size.
        scaling: see `AMGSRNField`.
    """

    config: AMGSRNConfig
    scaling: Ranges

    @property
    def parameters(self) -> int:
        return self.config.parameter_count()


@dataclass(frozen=True, kw_only=True)
class ConstantNode(LeafNode):
    """The same everywhere.

    Attributes:
        values: see `ConstantField`.
    """

    values: tuple[float, ...] | None

    @property
    def has_gaps(self) -> bool:
        return self.values is None or super().has_gaps


@dataclass(frozen=True, kw_only=True)
class EnsembleNode(Node):
    """Bricks, each of which has a member.

    Attributes:
        partition: where the bricks are.
        nodes: one per brick.
    """

    partition: Partition
    nodes: tuple[Node, ...]

    @property
    def members(self) -> tuple[Node, ...]:
        return self.nodes

    @property
    def bricks(self) -> tuple[int, int, int]:
        return self.partition.bricks


@dataclass(frozen=True, kw_only=True)
class SeriesNode(Node):
    """Time steps, each of which has a member.

    Attributes:
        times: of the steps, ascending.
        nodes: one per step.
    """

    times: tuple[float, ...]
    nodes: tuple[Node, ...]

    @property
    def members(self) -> tuple[Node, ...]:
        return self.nodes

    @property
    def steps(self) -> int:
        return len(self.times)


def parse_tree(description: Any, domain: Domain, array: ArrayInfo) -> Node:
    """The tree that a model file's `architecture` describes.

    Raises:
        ValueError: it describes none, or not one of that domain and array; one line that says where.
    """
    if max(domain.dimensions) > _MOST_NODES:
        raise ValueError(f"a volume of {' x '.join(map(str, domain.dimensions))} nodes")
    x, y, z = domain.dimensions
    root = _parse(
        description, "", ((0, x - 1), (0, y - 1), (0, z - 1)), array, ("amgsrn", "constant", "ensemble", "series")
    )
    _check_shared_masks(root)
    return root


def needs_version_2(architecture: Mapping[str, Any], array: ArrayInfo) -> bool:
    """Whether readers of format version 1 would get a field wrong."""
    kind = architecture.get("type")
    return kind != "amgsrn" or array.components != 1 or "mask" in architecture or "scaling" in architecture


def ensemble_description(partition: Partition, members: list[dict[str, Any]]) -> dict[str, Any]:
    """The node of an ensemble, JSON-ready, of its bricks' nodes."""
    return {"type": "ensemble", **partition.to_dict(), "members": members}


def series_description(times: tuple[float, ...], members: list[dict[str, Any]]) -> dict[str, Any]:
    """The node of a series, JSON-ready, of its steps' nodes."""
    return {"type": "series", "times": list(times), "members": members}


def brick_prefix(brick: int) -> str:
    """Prefix of a brick's tensors within its ensemble."""
    return f"brick{brick}."


def step_prefix(step: int) -> str:
    """Prefix of a step's tensors within its series."""
    return f"step{step}."


def _parse(data: Any, prefix: str, extent: Extent, array: ArrayInfo, allowed: tuple[str, ...]) -> Node:
    where = Node(prefix, extent).label
    try:
        if not isinstance(data, dict):
            raise ValueError("it is not an object")
        kind = data.get("type")
        if kind not in allowed:
            raise ValueError(f"unknown model type '{str(kind)[:40]}'")
        training = dict(data.get("training", {}))
        if kind == "ensemble":
            return _ensemble(data, prefix, extent, array, training)
        if kind == "series":
            return _series(data, prefix, extent, array, training)
        mask = _mask_prefix(data.get("mask"), prefix, Node(prefix, extent).shape)
        if kind == "constant":
            return ConstantNode(prefix, extent, training, mask, values=_constant(data["values"], array))
        config = AMGSRNConfig.from_dict(data)
        if config.outputs != array.components:
            raise ValueError(f"a network with {config.outputs} outputs for {array.components} components")
        return NetworkNode(prefix, extent, training, mask, config=config, scaling=_scaling(data.get("scaling"), array))
    except _Located:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, InvalidPartition) as error:
        reason = f"{'no ' if isinstance(error, KeyError) else ''}{error}".replace("\n", " ")
        raise _Located(f"unreadable architecture{f' of {where}' if where else ''}: {reason[:200]}") from error


class _Located(ValueError):
    """An error that says already where it is."""


def _ensemble(
    data: dict[str, Any], prefix: str, extent: Extent, array: ArrayInfo, training: dict[str, Any]
) -> EnsembleNode:
    members = list(data["members"])
    x, y, z = (last - first + 1 for first, last in extent)
    partition = Partition.from_dict(data, (x, y, z))
    if partition.count != len(members):
        raise ValueError(f"{partition.count} bricks, but {len(members)} members")
    nodes = tuple(
        _parse(member, prefix + brick_prefix(k), partition.extent(k), array, ("amgsrn", "constant"))
        for k, member in enumerate(members)
    )
    return EnsembleNode(prefix, extent, training, partition=partition, nodes=nodes)


def _series(
    data: dict[str, Any], prefix: str, extent: Extent, array: ArrayInfo, training: dict[str, Any]
) -> SeriesNode:
    members, times = list(data["members"]), tuple(float(time) for time in data["times"])
    if not times or len(times) != len(members):
        raise ValueError(f"{len(times)} times, but {len(members)} members")
    if not all(math.isfinite(time) for time in times) or any(a >= b for a, b in pairwise(times)):
        raise ValueError("times must be finite and ascend")
    nodes = tuple(
        _parse(member, prefix + step_prefix(i), extent, array, ("amgsrn", "constant", "ensemble"))
        for i, member in enumerate(members)
    )
    return SeriesNode(prefix, extent, training, times=times, nodes=nodes)


def _constant(values: Any, array: ArrayInfo) -> tuple[float, ...] | None:
    if values is None:
        return None
    row = tuple(float(value) for value in values)
    if len(row) != array.components or not all(map(math.isfinite, row)):
        raise ValueError(f"constant values {str(row)[:60]} for {array.components} components")
    return row


def _scaling(value: Any, array: ArrayInfo) -> Ranges:
    if value is None:
        return array.ranges
    ranges = tuple((float(low), float(high)) for low, high in value)
    if len(ranges) != array.components or not all(math.isfinite(end) for ends in ranges for end in ends):
        raise ValueError(f"a scaling of {len(ranges)} ranges for {array.components} components")
    return ranges


def _mask_prefix(value: Any, prefix: str, shape: tuple[int, int, int]) -> str | None:
    if value is None:
        return None
    if "same_as" in value:
        step, _, rest = prefix.partition(".")
        other = int(value["same_as"])
        if not step.startswith("step") or not 0 <= other < int(step.removeprefix("step")):
            raise ValueError(f"a mask shared with step {other}, which is no earlier one")
        return step_prefix(other) + rest
    if value["codec"] != masks.CODEC:
        raise ValueError(f"unknown codec '{str(value['codec'])[:40]}' of a mask")
    found = tuple(int(nodes) for nodes in value["shape"])
    if found != shape:
        raise ValueError(f"a mask of {found} nodes for {shape}")
    return prefix


def _check_shared_masks(root: Node) -> None:
    """Make sure that masks are shared only with nodes of the same place that have their own."""
    leaves = {node.prefix: node for node in root.walk() if isinstance(node, LeafNode)}
    for node in leaves.values():
        if node.mask_prefix in (None, node.prefix):
            continue
        other = leaves.get(str(node.mask_prefix))
        if other is None or other.mask_prefix != other.prefix or other.extent != node.extent:
            raise ValueError(f"unreadable architecture of {node.label}: it shares the mask of a node that has none")
