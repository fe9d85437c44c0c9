# SPDX-License-Identifier: BSD-3-Clause
"""Volumes that do not fit into memory are evaluated layer by layer, with the same result."""

from __future__ import annotations

import numpy as np
import pytest
from make_volume import make_volume

from amgsrn_core.models import AMGSRN, AMGSRNConfig
from amgsrn_core.storage import save_field
from trainer.errors import NothingButMissing
from trainer.evaluation import evaluate
from trainer.fields import Fields
from trainer.layers import LayeredValues, layered_volume
from trainer.volumes import open_volume

NAMES = ("a", "b")


@pytest.fixture
def values() -> np.ndarray:
    values = np.random.default_rng(0).random((17, 9, 11, 2)).astype(np.float32) * np.array([1, 500], np.float32)
    values[3:8] = np.nan  # more than a whole layer
    values[16, :4] = np.nan
    return values


def write(path, values, write_netcdf, chunks):
    options = {} if chunks is None else {"chunksizes": chunks, "zlib": True}
    return write_netcdf(path, {name: values[..., k] for k, name in enumerate(NAMES)}, **options)


@pytest.mark.parametrize("chunks", [None, (4, 5, 11), (17, 2, 3), (1, 9, 11)])
def test_the_errors_are_the_same(tmp_path, values, write_netcdf, monkeypatch, chunks) -> None:
    file = write(tmp_path / "v.nc", values, write_netcdf, chunks)
    field = Fields.of_volume(make_volume(values, names=NAMES)).of(AMGSRN(AMGSRNConfig(outputs=2)))
    save_field(tmp_path / "m.amgsrn", field, {"source": {"variable": "a,b", "bytes": 1000}})
    expected = evaluate(tmp_path / "m.amgsrn", file, device="cpu")
    monkeypatch.setattr("trainer.evaluation._LARGEST_SHARE", 0.0)
    monkeypatch.setattr("trainer.evaluation.read_volume", None)  # not to be called
    monkeypatch.setattr("trainer.layers._LAYER_VALUES", 700)
    monkeypatch.setattr("trainer.metrics._SLAB_VALUES", 500)
    found = evaluate(tmp_path / "m.amgsrn", file, device="cpu")
    for key in ("psnr_db", "ssim", "rmse", "max_abs_error"):
        assert found[key] == pytest.approx(expected[key], rel=1e-9)
    for key in ("wrong_gaps", "variable", "time_index", "compression_ratio"):
        assert found[key] == expected[key]
    assert [part["name"] for part in found["components"]] == list(NAMES)


def test_chunks_are_not_decoded_twice_in_a_row(tmp_path, values, write_netcdf) -> None:
    file = write(tmp_path / "v.nc", values, write_netcdf, (4, 9, 11))
    with open_volume(file) as reader:
        layered = LayeredValues(reader, reader.layout("a,b"), None)
        for plane in range(17):
            np.testing.assert_array_equal(layered[plane : plane + 1], values[plane : plane + 1])
        # The last chunk has but one plane, and is read with the one before.
        assert reader.bytes_read <= values.nbytes * 20 / 17
        np.testing.assert_array_equal(layered[2:15], values[2:15])


def test_a_volume_without_values_is_refused(tmp_path, values, write_netcdf) -> None:
    values[:] = np.nan
    file = write(tmp_path / "v.nc", values, write_netcdf, (4, 9, 11))
    with open_volume(file) as reader, pytest.raises(NothingButMissing):
        layered_volume(reader, reader.layout("a,b"), None, lambda part: None)
