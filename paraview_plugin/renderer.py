# SPDX-License-Identifier: BSD-3-Clause
"""What the C++ mapper calls: one request in, one picture out. See docs/architecture.md for the request's entries.

A picture in progress is kept per mapper; the same request continues it, any other starts a new one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from amgsrn_core import Field
from amgsrn_core.errors import NotAModelFile
from amgsrn_core.raymarch import MAGNITUDE, Camera, ProgressivePicture, Scene, TransferFunction, voxel_steps

from .open_models import open_model

Request = dict[str, Any]

# While the camera moves, a frame may take this long even where nothing else limits it.
_INTERACTIVE_MS = 80.0
# Two pictures per mapper, so that the two eyes of a stereo view do not restart each other.
_PICTURES_PER_MAPPER = 2
# Entries of a request that decide the picture and compare by value; the colour table and the depth are compared apart.
_DECISIVE = (
    "model",
    "bounds",
    "width",
    "height",
    "world_to_clip",
    "model_to_world",
    "clipping_planes",
    "range",
    "component",
    "unit_distance",
    "samples_per_voxel",
)


@dataclass(frozen=True)
class _Descriptor:
    """What the data says about the model behind it, see docs/architecture.md."""

    file: str
    array: str
    stamp: str
    time: float | None
    interpolate: bool


class _Drawing:
    """A picture in progress and the request that it answers."""

    def __init__(self, request: Request, descriptor: _Descriptor) -> None:
        self._request = _decisive(request)
        self._depth = _depth(request).copy()
        model = open_model(descriptor.file, descriptor.stamp)
        field = model.at(descriptor.time, descriptor.interpolate)
        self.picture = ProgressivePicture(field, _scene(request, field, self._depth), model.speed)

    def answers(self, request: Request) -> bool:
        return self._request == _decisive(request) and np.array_equal(self._depth, _depth(request))


_drawings: dict[int, list[_Drawing]] = {}


def render(request: Request) -> tuple[bool, float]:
    """Draw, or go on drawing, a picture into `request["image"]`.

    Returns:
        whether the picture is complete, and the share of its pixels that are final.

    Raises:
        AmgsrnError: the model cannot be opened, or the transfer function cannot be used; one clear line.
    """
    image = np.frombuffer(request["image"], np.uint8).reshape(request["height"], request["width"], 4)
    descriptor = _parse(request["model"])
    if descriptor.array != request["array"]:
        image[:] = 0
        return True, 1.0
    picture = _drawing(request, descriptor).picture
    picture.advance(_time_slice(request))
    image[:] = torch.from_numpy(picture.image).mul(255.0).round_().to(torch.uint8).numpy()
    return picture.is_complete, picture.finished / picture.total


def release(key: int) -> None:
    """Forget the pictures of a mapper that is gone."""
    _drawings.pop(key, None)


def _time_slice(request: Request) -> float | None:
    milliseconds = float(request["budget_ms"])
    if milliseconds <= 0:
        milliseconds = _INTERACTIVE_MS if request["interactive"] else 0.0
    return milliseconds / 1e3 if milliseconds > 0 else None


def _drawing(request: Request, descriptor: _Descriptor) -> _Drawing:
    drawings = _drawings.setdefault(request["key"], [])
    for drawing in drawings:
        if drawing.answers(request):
            return drawing
    drawing = _Drawing(request, descriptor)
    drawings.insert(0, drawing)
    del drawings[_PICTURES_PER_MAPPER:]
    return drawing


def _parse(text: str) -> _Descriptor:
    try:
        entries = json.loads(text)
        time = entries.get("time")
        return _Descriptor(
            file=str(entries["file"]),
            array=str(entries["array"]),
            stamp=str(entries.get("stamp", "")),
            time=None if time is None else float(time),
            interpolate=bool(entries.get("interpolate", False)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAModelFile("field data array amgsrn_model", f"unreadable descriptor: {error!r}") from error


def _decisive(request: Request) -> tuple[Any, ...]:
    return (*(_frozen(request[name]) for name in _DECISIVE), bytes(request["table"]))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _depth(request: Request) -> np.ndarray:
    return np.frombuffer(request["depth"], np.float32).reshape(request["height"], request["width"])


def _scene(request: Request, field: Field, depth: np.ndarray) -> Scene:
    model_to_world = np.array(request["model_to_world"], np.float64).reshape(4, 4)
    world_to_clip = np.array(request["world_to_clip"], np.float64).reshape(4, 4)
    table = np.frombuffer(request["table"], np.float32).reshape(-1, 4).copy()
    low, high = request["range"]
    return Scene(
        camera=Camera(world_to_clip @ model_to_world, request["width"], request["height"]),
        bounds=tuple(request["bounds"]),
        transfer_function=TransferFunction(torch.from_numpy(table), (float(low), float(high))),
        unit_distance=float(request["unit_distance"]),
        step=voxel_steps(field.domain, float(request["samples_per_voxel"])),
        component=_component(request, field),
        depth=depth,
        clipping_planes=_planes_in_data(
            np.array(request["clipping_planes"], np.float64).reshape(-1, 6), model_to_world
        ),
    )


def _component(request: Request, field: Field) -> int:
    # A colour map may be left at a component of an earlier array; like VTK, take the last one there is.
    return max(MAGNITUDE, min(int(request["component"]), field.array.components - 1))


def _planes_in_data(planes: np.ndarray, model_to_world: np.ndarray) -> np.ndarray:
    """Planes (k, 6), origin and normal, from world into data coordinates; normals are not moved like points."""
    inverse = np.linalg.inv(model_to_world)
    origins = planes[:, :3] @ inverse[:3, :3].T + inverse[:3, 3]
    return np.concatenate([origins, planes[:, 3:] @ model_to_world[:3, :3]], axis=1)
