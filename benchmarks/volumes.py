# SPDX-License-Identifier: BSD-3-Clause
"""The real volumes that quality is measured on. They are looked for in the folder AMGSRN_DATA names; those that are not
there are left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainer.volumes import Volume, open_volume

# File, variable, time step.
_VOLUMES = (
    ("cosmology_lcdm_density.nc", None, None),
    ("richtmyer_meshkov_t0020.nc", None, None),
    ("rayleigh_taylor_mixing.nc", None, -1),
    ("shock_cth_armor_impact.nc", "speed", None),
    ("shock_cth_armor_impact.nc", "pressure", None),
    ("ocean_levitus_annual.nc", "temperature", None),
    ("um_colpex_theta.nc", None, -1),
    ("combustor_curvilinear.nc", "density", None),
)


def path_of(file: str) -> Path:
    """Where a file with volumes is, or would be."""
    return Path(os.environ.get("AMGSRN_DATA", Path(__file__).parents[2] / "shared" / "data")) / file


def volume_of(file: str, variable: str | None = None, time: int | None = None) -> Volume:
    """One volume.

    Raises:
        SystemExit: it is not there.
    """
    if not path_of(file).exists():
        raise SystemExit(f"'{path_of(file)}' is missing; set AMGSRN_DATA to its folder")
    with open_volume(path_of(file)) as reader:
        return reader.read(variable, time)


def volumes() -> Iterator[tuple[str, Volume]]:
    """Name and volume of each that is there.

    Raises:
        SystemExit: none is.
    """
    found = [entry for entry in _VOLUMES if path_of(entry[0]).exists()]
    if not found:
        raise SystemExit(f"none of the benchmark's volumes is in '{path_of('')}'; set AMGSRN_DATA")
    for file, variable, time in found:
        yield f"{Path(file).stem} {variable or ''}".strip(), volume_of(file, variable, time)
