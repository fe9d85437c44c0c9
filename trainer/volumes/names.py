# SPDX-License-Identifier: BSD-3-Clause
"""Which variables were asked for, and what their array is called."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

# What tells the components of one quantity apart, at either end of their names.
_COMPONENT = re.compile(r"[xyzuvw]|[0-9]+|[ijk]", re.IGNORECASE)
_SEPARATORS = "_- .:/"


def asked_for(variables: str | Sequence[str] | None, known: Collection[str]) -> tuple[str, ...]:
    """The names asked for; none where the file is to decide.

    Args:
        variables: names, or one text as --variable takes it: a name, or several separated by commas.
        known: what the file has; a name with a comma in it is found there.
    """
    if variables is None:
        return ()
    if not isinstance(variables, str):
        return tuple(variables)
    if variables in known:
        return (variables,)
    return tuple(name.strip() for name in variables.split(",") if name.strip()) or (variables,)


def array_name(variables: Sequence[str]) -> str:
    """The name of the array that several variables are the components of.

    What they have in common at the beginning or at the end, where the rest only tells components apart (x_velocity,
    y_velocity, z_velocity: "velocity"), else all names (u, v, w: "u_v_w").
    """
    if len(variables) == 1:
        return variables[0]
    prefix = _common_start(variables)
    suffix = _common_start([name[::-1] for name in variables])[::-1]
    for common, rests in (
        (suffix, [name[: len(name) - len(suffix)] for name in variables]),
        (prefix, [name[len(prefix) :] for name in variables]),
    ):
        stem = common.strip(_SEPARATORS)
        if len(stem) > 1 and all(_COMPONENT.fullmatch(rest.strip(_SEPARATORS)) for rest in rests):
            return stem
    return "_".join(variables)


def vector_names(name: str, components: int, alone: bool = True) -> tuple[str, ...]:
    """The names of an array's components: its own if it has one, else X, Y, Z, or numbers; with its own name in front
    where they are not alone."""
    if components == 1:
        return (name,)
    ends = "XYZ"[:components] if components <= 3 else [str(k) for k in range(components)]
    return tuple(end if alone else f"{name}_{end}" for end in ends)


def _common_start(texts: Sequence[str]) -> str:
    # What lies between the first and the last in alphabetical order begins with what these two have in common.
    first, last = min(texts), max(texts)
    length = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]
