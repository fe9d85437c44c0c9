# SPDX-License-Identifier: BSD-3-Clause
"""Colour maps in ParaView's JSON (Color Map Editor > Export): read, and turned into a transfer function.

Colours between control points are interpolated in the map's colour space by ParaView's formulas, so that pictures made
without ParaView have its colours. `Points` (value, opacity, midpoint, sharpness) is the opacity function where there
is one; its midpoints and sharpness are not used, since ParaView's own editor leaves them at their defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..errors import InvalidTransferFunction
from .transfer_function import TransferFunction

_ENTRIES = 1024
_WHITE = np.array([0.9505, 1.0, 1.089])
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

# ParaView's default map: Cool to Warm.
DEFAULT_COLOUR_MAP = {
    "ColorSpace": "Diverging",
    "RGBPoints": [
        0.0,
        0.231373,
        0.298039,
        0.752941,
        0.5,
        0.865003,
        0.865003,
        0.865003,
        1.0,
        0.705882,
        0.0156863,
        0.14902,
    ],
}


def read_colour_map(path: str | Path, value_range: tuple[float, float] | None = None) -> TransferFunction:
    """The first colour map of a file that ParaView exported.

    Args:
        path: the JSON file.
        value_range: stretch the map to this range, in data units; None keeps the file's own values.

    Raises:
        InvalidTransferFunction: no such file, or not a colour map.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return colour_map(content[0] if isinstance(content, list) else content, value_range)
    except OSError as error:
        raise InvalidTransferFunction(f"cannot read colour map '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidTransferFunction(
            f"'{path}' is not a colour map ({error}); export one from ParaView's Color Map Editor as JSON"
        ) from error


def colour_map(entry: dict[str, object], value_range: tuple[float, float] | None = None) -> TransferFunction:
    """A transfer function from one entry of ParaView's JSON; opacity rises linearly where the entry has none.

    Args:
        entry: with `RGBPoints` and perhaps `ColorSpace` and `Points`.
        value_range: see `read_colour_map`.

    Raises:
        KeyError, ValueError: not a colour map.
    """
    points = np.asarray(entry["RGBPoints"], dtype=np.float64).reshape(-1, 4)
    position, colours = points[:, 0], points[:, 1:]
    if len(points) < 2 or (np.diff(position) < 0).any() or not np.isfinite(points).all():
        raise ValueError("RGBPoints need at least two points in ascending order")
    space = str(entry.get("ColorSpace", "RGB"))
    if space not in _INTERPOLATIONS:
        raise ValueError(f"colour space {space} is not known; known are {', '.join(_INTERPOLATIONS)}")
    x = np.linspace(position[0], position[-1], _ENTRIES)
    cell = np.clip(np.searchsorted(position, x, side="right") - 1, 0, len(position) - 2)
    width = position[cell + 1] - position[cell]
    weight = np.divide(x - position[cell], width, out=np.zeros_like(x), where=width > 0)[:, None]
    rgb = _INTERPOLATIONS[space](colours[cell], colours[cell + 1], weight)
    opacity = np.linspace(0.0, 1.0, _ENTRIES)
    if entry.get("Points"):
        nodes = np.asarray(entry["Points"], dtype=np.float64).reshape(-1, 4)
        opacity = np.interp(x, nodes[:, 0], nodes[:, 1])
    table = np.clip(np.column_stack([rgb, opacity]), 0.0, 1.0).astype(np.float32)
    return TransferFunction(torch.from_numpy(table), value_range or (float(position[0]), float(position[-1])))


Interpolation = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _rgb(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    return a + t * (b - a)


def _step(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.where(t > 0.0, b, a)


def _lab(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    return _lab_to_rgb(_rgb(_rgb_to_lab(a), _rgb_to_lab(b), t))


def _hsv(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    start, end = _rgb_to_hsv(a), _rgb_to_hsv(b)
    # The shorter way around the circle of hues.
    turn = end[:, 0] - start[:, 0]
    end[:, 0] -= np.where(turn > 0.5, 1.0, 0.0) - np.where(turn < -0.5, 1.0, 0.0)
    return _hsv_to_rgb(_rgb(start, end, t))


def _diverging(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Through white in polar Lab where the ends differ much (Moreland, "Diverging Color Maps", 2009)."""
    start, end = _lab_to_msh(_rgb_to_lab(a)), _lab_to_msh(_rgb_to_lab(b))
    apart = np.abs(start[:, 2] - end[:, 2])
    apart = np.minimum(apart, 2 * np.pi - apart)
    through_white = (start[:, 1] > 0.05) & (end[:, 1] > 0.05) & (apart > 0.33 * np.pi)
    middle = np.stack([np.maximum(np.maximum(start[:, 0], end[:, 0]), 88.0), *np.zeros((2, len(start)))], axis=1)
    first = t[:, 0] < 0.5
    t = np.where(through_white[:, None], np.where(first[:, None], 2 * t, 2 * t - 1), t)
    start, end = (
        np.where((through_white & ~first)[:, None], middle, start),
        np.where((through_white & first)[:, None], middle, end),
    )
    start, end = _with_hue(start, end), _with_hue(end, start)
    return _lab_to_rgb(_msh_to_lab(_rgb(start, end, t)))


def _with_hue(colour: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give an unsaturated colour the hue from which the other one is approached best."""
    m, s, h = other.T
    spin = s * np.sqrt(np.maximum(colour[:, 0] ** 2 - m**2, 0.0)) / np.maximum(m * np.sin(s), 1e-12)
    hue = np.where(m >= colour[:, 0] - 0.1, h, np.where(h > -0.3 * np.pi, h + spin, h - spin))
    result = colour.copy()
    grey = (colour[:, 1] < 0.05) & (s > 0.05)
    result[grey, 2] = hue[grey]
    return result


def _rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    ratio = linear @ _TO_XYZ.T / _WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16.0 / 116.0)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def _lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    fy = (lab[:, 0] + 16) / 116
    f = np.stack([lab[:, 1] / 500 + fy, fy, fy - lab[:, 2] / 200], axis=1)
    ratio = np.where(f**3 > 0.008856, f**3, (f - 16.0 / 116.0) / 7.787)
    linear = (ratio * _WHITE) @ np.linalg.inv(_TO_XYZ).T
    rgb = np.where(linear > 0.0031308, 1.055 * np.maximum(linear, 0.0) ** (1 / 2.4) - 0.055, 12.92 * linear)
    # A colour that no screen can show keeps its hue: it is darkened, not cut.
    return np.maximum(rgb / np.maximum(rgb.max(axis=1, keepdims=True), 1.0), 0.0)


def _lab_to_msh(lab: np.ndarray) -> np.ndarray:
    m = np.linalg.norm(lab, axis=1)
    s = np.where(m > 1e-3, np.arccos(np.clip(lab[:, 0] / np.maximum(m, 1e-12), -1, 1)), 0.0)
    return np.stack([m, s, np.where(s > 1e-3, np.arctan2(lab[:, 2], lab[:, 1]), 0.0)], axis=1)


def _msh_to_lab(msh: np.ndarray) -> np.ndarray:
    m, s, h = msh.T
    return np.stack([m * np.cos(s), m * np.sin(s) * np.cos(h), m * np.sin(s) * np.sin(h)], axis=1)


def _rgb_to_hsv(rgb: np.ndarray) -> np.ndarray:
    high, low = rgb.max(axis=1), rgb.min(axis=1)
    spread = np.maximum(high - low, 1e-12)
    r, g, b = rgb.T
    hue = np.select([high == r, high == g], [(g - b) / spread, 2 + (b - r) / spread], 4 + (r - g) / spread) / 6
    return np.stack([hue % 1.0, np.where(high > 0, (high - low) / np.maximum(high, 1e-12), 0.0), high], axis=1)


def _hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    k = (np.array([5.0, 3.0, 1.0]) + 6 * hsv[:, :1]) % 6
    return hsv[:, 2:] * (1 - hsv[:, 1:2] * np.clip(np.minimum(k, 4 - k), 0, 1))


_INTERPOLATIONS: dict[str, Interpolation] = {
    "RGB": _rgb,
    "HSV": _hsv,
    "Lab": _lab,
    "Diverging": _diverging,
    "Step": _step,
}
