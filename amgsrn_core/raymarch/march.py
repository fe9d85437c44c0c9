# SPDX-License-Identifier: BSD-3-Clause
"""Front-to-back emission-absorption ray marching of any field, in batches between which a caller can pause."""

from __future__ import annotations

from collections.abc import Generator

import torch

from ..field import Field
from .scene import MAGNITUDE, Rays
from .transfer_function import TransferFunction

# What is behind a ray with less light left than this cannot change an 8-bit pixel.
_OPAQUE = 1.0 / 1024.0


def march(
    field: Field,
    rays: Rays,
    transfer_function: TransferFunction,
    unit_distance: float,
    batch: int,
    component: int = 0,
) -> Generator[int, None, torch.Tensor]:
    """March rays through a field.

    A ray is cut into segments of its step, the last one as long as what is left, so that opaque surfaces and faces of
    the box are met exactly. A segment has the colour at its middle and the opacity 1 - (1 - a)^(length / unit
    distance), which is 0 where the field has no value. A ray ends when it is opaque.

    Args:
        field: any field.
        rays: where to march, on the field's device.
        transfer_function: on the field's device.
        unit_distance: distance over which the opacity function holds, in data coordinates.
        batch: samples per call of the field, about.
        component: of the field, which the transfer function looks up, or `MAGNITUDE`.

    Yields:
        the number of samples taken, after each call of the field: a caller may pause there.

    Returns:
        premultiplied colour and opacity, float32 (n, 4).
    """
    count = len(rays.near)
    picture = torch.zeros(count, 4, device=rays.near.device)
    light = torch.ones(count, device=rays.near.device)
    active = (rays.far > rays.near).nonzero().squeeze(1)
    done_segments = 0
    while len(active):
        segments = max(1, batch // len(active))
        index = torch.arange(done_segments, done_segments + segments, device=active.device)
        near, far = rays.near[active].unsqueeze(1), rays.far[active].unsqueeze(1)
        step = rays.step[active].unsqueeze(1)
        begin = near + index * step
        length = torch.minimum((far - begin).clamp_(min=0.0), step)  # (a, s)
        inside = (length > 0).flatten().nonzero().squeeze(1)
        length = length.flatten()[inside]
        middle = begin.flatten()[inside].addcmul_(length, length.new_tensor(0.5))
        owner = active[torch.div(inside, segments, rounding_mode="floor")]
        points = torch.addcmul(rays.origin[owner], rays.direction[owner], middle.unsqueeze(1))
        values = looked_at(field.sample_for_display(field.domain.box_to_normalized(points)), component)
        samples = transfer_function.lookup(values)
        samples[:, 3] = 1.0 - (1.0 - samples[:, 3]).clamp_(0.0, 1.0) ** (length / unit_distance)
        if field.has_gaps:
            samples[:, 3].masked_fill_(values.isnan(), 0.0)

        dense = samples.new_zeros(len(active) * segments, 4)  # transparent where the ray has ended
        dense[inside] = samples
        dense = dense.view(len(active), segments, 4)
        remaining = torch.cumprod(1.0 - dense[..., 3], dim=1)
        before = torch.cat([torch.ones_like(remaining[:, :1]), remaining[:, :-1]], dim=1)
        weight = light[active].unsqueeze(1) * before * dense[..., 3]
        picture[active, :3] += (weight.unsqueeze(2) * dense[..., :3]).sum(dim=1)
        light[active] *= remaining[:, -1]

        done_segments += segments
        more = (rays.near[active] + done_segments * step[:, 0] < rays.far[active]) & (light[active] > _OPAQUE)
        active = active[more]
        yield len(values)
    picture[:, 3] = 1.0 - light
    return picture


def looked_at(values: torch.Tensor, component: int) -> torch.Tensor:
    """What a transfer function looks up of values (n, components): one component, or their magnitude; (n,)."""
    if values.shape[1] == 1:
        return values[:, 0]
    return values.norm(dim=1) if component == MAGNITUDE else values[:, component]
