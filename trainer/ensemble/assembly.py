# SPDX-License-Identifier: BSD-3-Clause
"""One model out of finished bricks, and its errors out of theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amgsrn_core import ArrayInfo, Domain
from amgsrn_core.partition import Partition
from amgsrn_core.storage import ModelHeader, brick_prefix, ensemble_description, part_of, write_tree

from ..metrics import mean_psnr, psnr
from ..volumes.volume import Range
from .parts import Parts
from .task import BrickSummary


@dataclass(frozen=True)
class Figures:
    """Errors of an ensemble, out of those of its bricks, each over its own nodes: together all nodes of the volume, each
    once. Where bricks are blended the field is the mean of two networks, and these are the errors of one of them.

    Attributes:
        ranges: of each component in the whole volume; empty if all values are missing.
        psnr_db: with the range of the whole volume; None where perfect.
        rmse, max_abs_error: in data units.
        components: the same of each component where there are several.
    """

    ranges: tuple[Range, ...]
    psnr_db: float | None
    rmse: float
    max_abs_error: float
    components: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, summaries: Sequence[BrickSummary], names: Sequence[str]) -> Figures:
        """Those of some bricks together.

        Args:
            summaries: of the bricks.
            names: of the components.
        """
        count, ranges = sum(summary.counted for summary in summaries), whole_ranges(summaries)
        if not ranges or not count:
            return cls(ranges, None, 0.0, 0.0)
        mses = [sum(s.counted * s.rmse[k] ** 2 for s in summaries) / count for k in range(len(names))]
        worst = [max(s.max_abs_error[k] for s in summaries) for k in range(len(names))]
        spans = [high - low for low, high in ranges]
        if len(names) == 1:
            return cls(ranges, psnr(mses[0], spans[0]), math.sqrt(mses[0]), worst[0])
        components = tuple(
            {"name": name, "psnr_db": psnr(mse, span), "rmse": math.sqrt(mse), "max_abs_error": largest}
            for name, mse, span, largest in zip(names, mses, spans, worst, strict=True)
        )
        return cls(ranges, mean_psnr(mses, spans), math.sqrt(sum(mses) / len(mses)), max(worst), components)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, keys as those of a single fit."""
        described: dict[str, Any] = {
            "psnr_db": self.psnr_db,
            "rmse": self.rmse,
            "max_abs_error": self.max_abs_error,
        }
        return {**described, "components": list(self.components)} if self.components else described


def whole_ranges(summaries: Sequence[BrickSummary]) -> tuple[Range, ...]:
    """Ranges of the components over all bricks; empty if there is no value."""
    found = [summary.ranges for summary in summaries if summary.ranges]
    return tuple(
        (min(low for low, _ in component), max(high for _, high in component)) for component in zip(*found, strict=True)
    )


def assemble(
    output: Path,
    parts: Parts,
    partition: Partition,
    summaries: Mapping[int, BrickSummary],
    domain: Domain,
    array: ArrayInfo,
    training: dict[str, Any],
) -> None:
    """Write the ensemble's model, all or nothing, in bounded memory.

    Args:
        output: its file.
        parts: with all bricks.
        partition: of the volume.
        summaries: of all bricks, by their numbers.
        domain, array: of the volume.
        training: JSON-ready, how it was made.

    Raises:
        ModelNotWritable: no space, say; the parts are kept.
        ModelFileError: a part cannot be read any more.
    """
    nodes, members = [], []
    for brick in range(partition.count):
        part = part_of(parts.model(brick))
        nodes.append({**part.node, "training": _about(summaries[brick], array)})
        members.append((brick_prefix(brick), part.tensors))
    header = ModelHeader(ensemble_description(partition, nodes), domain, array, training)
    write_tree(output, header, members)


def _about(summary: BrickSummary, array: ArrayInfo) -> dict[str, Any]:
    """What the model says about one brick; as short as can be, for there may be many."""
    figures = Figures.of([summary], array.component_names or (array.name,))
    mses = [error**2 for error in summary.rmse]
    spans = [high - low for low, high in array.ranges]
    quality = psnr(mses[0], spans[0]) if len(mses) == 1 else mean_psnr(mses, spans)
    return {
        "psnr_db": None if quality is None else round(quality, 3),
        "rmse": figures.rmse,
        "max_abs_error": figures.max_abs_error,
        "value_range": [list(ends) for ends in summary.ranges],
        "seconds": summary.seconds,
        "cpu_seconds": summary.cpu_seconds,
        "steps": summary.steps,
    }
