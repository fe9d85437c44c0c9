# SPDX-License-Identifier: BSD-3-Clause
"""Quality and cost on real volumes. The figures to reach are those of the authors' code after 500 iterations (2 CPU
minutes)."""

from __future__ import annotations

import json
import time

import netCDF4
import numpy as np
import pytest

from trainer.volumes import open_volume

CASES = {
    "cosmology_lcdm_density.nc": ((), 33.84),
    "richtmyer_meshkov_t0020.nc": ((), 29.29),
    "rayleigh_taylor_mixing.nc": (("--time", -1), 33.71),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_small_networks_beat_the_authors_code(tmp_path, shared_data, trainer, name):
    arguments, least = CASES[name]
    began = time.monotonic()
    done = trainer("fit", shared_data / name, *arguments, "-o", tmp_path / "m.amgsrn", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(name, f"{time.monotonic() - began:.1f} s", result)
    assert result["psnr_db"] > least + 2
    assert result["cpu_seconds"] < 110
    again = trainer("evaluate", tmp_path / "m.amgsrn", shared_data / name, "--json")
    assert json.loads(again.stdout)["psnr_db"] == pytest.approx(result["psnr_db"], abs=0.001)


def read(path, variable=None, time=None):
    with open_volume(path) as reader:
        return reader.read(variable, time)


def test_ocean(shared_data):
    volume = read(shared_data / "ocean_levitus_annual.nc", "salinity")
    assert volume.missing / volume.values.size == pytest.approx(0.44, abs=0.01)
    assert volume.domain.units == ("degrees_east", "degrees_north", "m")
    assert not volume.domain.axes[2].is_uniform
    with netCDF4.Dataset(shared_data / "ocean_levitus_annual.nc") as file:
        truth = file["salinity"][:]
    valid = ~np.ma.getmaskarray(truth)
    np.testing.assert_array_equal(np.isfinite(volume.values[..., 0]), valid)
    np.testing.assert_array_equal(volume.values[..., 0][valid], truth.data[valid])


def test_weather(shared_data):
    volume = read(shared_data / "um_colpex_theta.nc", time=2)
    assert volume.domain.dimensions == (83, 83, 10)
    assert volume.domain.time_units.startswith("hours since")
    assert volume.units == ("K",)


def test_shock(shared_data):
    volume = read(shared_data / "shock_cth_armor_impact.nc", "pressure")
    assert volume.ranges[0] == pytest.approx((-2.359452e10, 1.12037626e11))
    assert [axis.is_uniform for axis in volume.domain.axes] == [False, True, False]


def test_curvilinear_nodes_are_not_volumes_to_learn(shared_data):
    with open_volume(shared_data / "combustor_curvilinear.nc") as reader:
        assert [info.name for info in reader.variables()] == ["density", "momentum_magnitude"]
        assert reader.read("density").mesh.points.shape == (25 * 33 * 57, 3)


@pytest.mark.slow
def test_missing_and_huge_values_fit(tmp_path, shared_data, trainer):
    for name, variable, least in (
        ("ocean_levitus_annual.nc", "temperature", 30),
        ("shock_cth_armor_impact.nc", "pressure", 30),
    ):
        done = trainer(
            "fit",
            shared_data / name,
            "--variable",
            variable,
            "--steps",
            800,
            "-o",
            tmp_path / f"{variable}.amgsrn",
            "--json",
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["psnr_db"] > least
        assert ("missing" in done.stderr) == (variable == "temperature")
