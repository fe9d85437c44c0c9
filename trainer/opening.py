# SPDX-License-Identifier: BSD-3-Clause
"""Opening a model for a command: the time step and the component that were asked for."""

from __future__ import annotations

from pathlib import Path

from amgsrn_core import ArrayInfo, Field, open_field
from amgsrn_core.models import SeriesField
from amgsrn_core.raymarch import MAGNITUDE

from .errors import NoSuchComponent, NoSuchModelTime

_MAGNITUDE = "magnitude"


def open_step(model: Path, device: str = "auto", time: int | None = None) -> Field:
    """The field of a model file, at one of its time steps.

    Args:
        model: the file.
        device: see `open_field`.
        time: the step, counted from 0, negative from the end; the first if left out.

    Raises:
        NoSuchModelTime: the model has no such step.
        ModelFileError, DeviceUnavailable: see `open_field`.
    """
    field = open_field(model, device)
    steps = len(field.times) if isinstance(field, SeriesField) else 1
    index = time or 0
    if not -steps <= index < steps:
        raise NoSuchModelTime(model, index, steps)
    return field.at(field.times[index]) if isinstance(field, SeriesField) else field


def choose_component(array: ArrayInfo, name: str | None) -> int:
    """The number of a component, or `MAGNITUDE`.

    Args:
        array: of the field.
        name: a component's name or number, or 'magnitude'; the only one, or the magnitude, if left out.

    Raises:
        NoSuchComponent: the array has none of that name.
    """
    if name is None:
        return 0 if array.components == 1 else MAGNITUDE
    names = array.component_names or (array.name,)
    if name in names:
        return names.index(name)
    if name == _MAGNITUDE and array.components > 1:
        return MAGNITUDE
    if name.isdigit() and int(name) < array.components:
        return int(name)
    raise NoSuchComponent(name, [*names, *([_MAGNITUDE] if array.components > 1 else [])])
