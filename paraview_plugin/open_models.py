# SPDX-License-Identifier: BSD-3-Clause
"""Models that are open in this process, shared by all that look at them: readers and representations."""

from __future__ import annotations

from collections import OrderedDict

from amgsrn_core import Field, open_field
from amgsrn_core.models import SeriesField
from amgsrn_core.raymarch import Speed

_OPEN_MODELS = 4


class OpenModel:
    """An open model, and how fast it proved to be on this machine.

    Attributes:
        speed: of all its time steps.
    """

    def __init__(self, file: str) -> None:
        self._field = open_field(file)
        self.speed = Speed()

    def at(self, time: float | None, interpolate: bool = False) -> Field:
        """The field at a time; see `SeriesField.at`. One without steps is the same at all times.

        Args:
            time: None for the first step.
            interpolate: whether a time between two steps means a blend of both.
        """
        if time is None or not isinstance(self._field, SeriesField):
            return self._field
        return self._field.at(time, interpolate)


_models: OrderedDict[tuple[str, str], OpenModel] = OrderedDict()


def open_model(file: str, stamp: str) -> OpenModel:
    """A model, opened unless it is open already. The ones not asked for longest are given up.

    Args:
        file: its path.
        stamp: of its content: a model that was fitted anew is opened anew.

    Raises:
        ModelFileError: it cannot be opened.
    """
    key = (file, stamp)
    if key not in _models:
        for replaced in [other for other in _models if other[0] == file]:
            del _models[replaced]
        while len(_models) >= _OPEN_MODELS:
            _models.popitem(last=False)
        _models[key] = OpenModel(file)
    _models.move_to_end(key)
    return _models[key]
