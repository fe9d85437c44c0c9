# SPDX-License-Identifier: BSD-3-Clause
"""Several variables at once: what networks learn, how errors add up, and that all commands know components."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import netCDF4
import numpy as np
import pytest
import scipy.ndimage
import torch
from array_volumes import make_volume
from hypothesis import given
from hypothesis import strategies as st
from interruptions import interrupt_after

from amgsrn_core import ArrayInfo, open_field, read_header
from amgsrn_core.errors import AmgsrnError
from amgsrn_core.grid import native_nodes, sample_nodes
from amgsrn_core.models import AMGSRN, AMGSRNConfig
from amgsrn_core.raymarch import MAGNITUDE
from trainer import errors
from trainer.cli import main
from trainer.fields import Fields
from trainer.fit import FitOptions, fit_volume
from trainer.importance import ImportanceSampler
from trainer.metrics import Metrics, measure
from trainer.opening import choose_component
from trainer.placement import Cells, measure_detail, measure_residual
from trainer.probe import Probe
from trainer.sampling import StratifiedSampler, UniformSampler, VoxelSampler
from trainer.settings import FitSettings
from trainer.sizing import file_size
from trainer.targets import Targets

CPU = torch.device("cpu")
SHAPE = (7, 9, 11)


def several(components: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Values [z, y, x, c] whose components differ in magnitude by powers of ten."""
    random = np.random.default_rng(seed)
    return random.random((*shape, components)) * 10.0 ** np.arange(components) - 3.0


def in_units_of_ranges(values: np.ndarray) -> np.ndarray:
    low, high = np.nanmin(values, axis=(0, 1, 2)), np.nanmax(values, axis=(0, 1, 2))
    return (values - low) / (high - low)


@given(st.integers(1, 9), st.integers(0, 2**40), st.sampled_from(["uniform", "lattice", "nodes", "follow", "between"]))
def test_targets_are_the_values_of_all_components(components: int, step: int, kind: str) -> None:
    values = several(components)
    volume = make_volume(values)
    makers = {
        "uniform": lambda: UniformSampler(volume, 200, 1),
        "lattice": lambda: StratifiedSampler(volume, 200, 1),
        "nodes": lambda: VoxelSampler(volume, 200, 1),
        "follow": lambda: ImportanceSampler(volume, 200, 1, snap=True),
        "between": lambda: ImportanceSampler(volume, 200, 1, snap=False),
    }
    points, targets = makers[kind]().draw(step)
    assert targets.shape == (len(points), components)
    where = np.stack([(points[:, 2 - k].numpy().astype(np.float64) + 1) / 2 * (SHAPE[k] - 1) for k in range(3)])
    expected = in_units_of_ranges(volume.values.astype(np.float64))
    for k in range(components):
        found = scipy.ndimage.map_coordinates(expected[..., k], where, order=1, mode="nearest")
        np.testing.assert_allclose(targets[:, k].numpy(), found, atol=3e-5)


def test_a_component_that_does_not_vary_is_zero_to_a_network() -> None:
    values = several(2)
    values[..., 1] = 4.0
    _, targets = UniformSampler(make_volume(values), 300, 0).draw(0)
    assert (targets[:, 1] == 0).all()
    assert targets[:, 0].std() > 0.1


def test_more_than_four_components_come_with_the_points_of_one() -> None:
    values = several(6)
    alone, together = Targets(make_volume(values[..., :1])), Targets(make_volume(values))
    for snap in (True, False):
        few, many = (targets.lattice((2, 3, 4), 5, 6, snap) for targets in (alone, together))
        assert torch.equal(few[0], many[0])
        torch.testing.assert_close(few[1], many[1][:, :1], atol=1e-6, rtol=0)


class Fixed:
    """A field that answers what it is told at the nodes, in the order in which they are asked for."""

    has_gaps, is_threaded, device = False, False, CPU

    def __init__(self, volume, values):
        self.domain, self.array = volume.domain, volume.array_info()
        self._values, self._next = torch.from_numpy(values.astype(np.float32)).reshape(-1, values.shape[3]), 0

    def sample(self, points):
        begin, self._next = self._next, self._next + len(points)
        return self._values[begin : self._next]


@given(st.integers(2, 5), st.integers(0, 100))
def test_errors_of_several_components_count_in_units_of_their_ranges(components: int, seed: int) -> None:
    truth = several(components, seed)
    found = truth + np.random.default_rng(seed + 1).normal(size=truth.shape) * 0.01 * 10.0 ** np.arange(components)
    volume = make_volume(truth, names=tuple("abcdefgh"[:components]))
    metrics = measure(Fixed(volume, found), volume)
    errors_ = found.astype(np.float32).astype(np.float64) - volume.values
    spans = np.ptp(volume.values.reshape(-1, components).astype(np.float64), axis=0)
    relative = np.square(errors_ / spans).mean(axis=(0, 1, 2))
    assert metrics.psnr_db == pytest.approx(-10 * np.log10(relative.mean()), abs=1e-6)
    assert [part.name for part in metrics.components] == list("abcdefgh"[:components])
    for k, part in enumerate(metrics.components):
        assert part.psnr_db == pytest.approx(-10 * np.log10(relative[k]), abs=1e-6)
        assert part.rmse == pytest.approx(np.sqrt(np.square(errors_[..., k]).mean()), rel=1e-6)
        assert part.max_abs_error == pytest.approx(np.abs(errors_[..., k]).max(), rel=1e-6)
    assert metrics.rmse == pytest.approx(np.sqrt(np.square(errors_).mean()), rel=1e-6)
    assert Metrics.from_dict(json.loads(json.dumps(metrics.to_dict()))) == metrics
    assert metrics.error == pytest.approx(relative.mean(), rel=1e-6)


def test_a_constant_component_is_left_out_of_the_psnr_of_all() -> None:
    truth = several(2)
    truth[..., 1] = 5.0
    volume = make_volume(truth)
    found = truth + np.array([0.01, 0.0])
    metrics = measure(Fixed(volume, found), volume)
    assert metrics.components[1].psnr_db is None
    assert metrics.psnr_db == pytest.approx(metrics.components[0].psnr_db, abs=1e-9)


def random_network(outputs: int) -> AMGSRN:
    network = AMGSRN(AMGSRNConfig(4, 1, (4, 4, 4), outputs=outputs, transform="srt"), seed=3)
    with torch.no_grad():
        network.grids.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    return network


def test_the_probe_agrees_with_the_metrics() -> None:
    values = several(3)
    values[2, 3, 4] = np.nan
    values[..., 1] = np.where(np.isnan(values[..., 1]), np.nan, 2.5)  # it does not vary
    volume, network = make_volume(values), random_network(3)
    expected = measure(Fields.of_volume(volume).of(network), volume).psnr_db
    assert Probe(volume, CPU, 0).psnr(network) == pytest.approx(expected, abs=1e-3)


def test_where_a_network_errs_is_where_any_component_does() -> None:
    shape = (16, 16, 16)
    values = np.zeros((*shape, 2))
    values[12:, :4, :4, 0] = 1.0
    values[:4, :4, 12:, 1] = 1000.0
    volume, network = make_volume(values), random_network(2)
    with torch.no_grad():
        network.layers[-1].weight.zero_()
    found = measure_residual(network, volume, Cells.of(volume), 0)
    assert found[14, 1, 1] == pytest.approx(0.5)
    assert found[1, 1, 14] == pytest.approx(0.5)
    assert found[8, 8, 8] < 0.01


def test_detail_is_the_mean_over_components() -> None:
    random = np.random.default_rng(0)
    values = random.random((24, 20, 22, 2)).astype(np.float32) * np.array([1, 1000], np.float32)
    both, one, other = (make_volume(part) for part in (values, values[..., 0], values[..., 1]))
    tables = [measure_detail(volume.values, volume.ranges).errors for volume in (both, one, other)]
    np.testing.assert_allclose(tables[0], (tables[1] + tables[2]) / 2)


@pytest.mark.parametrize("half", [True, False])
def test_sizes_with_components_gaps_and_scaling_are_those_of_files(tmp_path, half) -> None:
    values = several(3)
    values[np.random.default_rng(0).random(SHAPE) < 0.3] = np.nan
    volume = make_volume(values)
    object.__setattr__(volume, "scaling", ((0.0, 1.0), (0.0, 2.5), (-1.25, 4.0)))
    settings = FitSettings.of(steps=5, batch=100, precision="half" if half else "single", target_size=200_000)
    training = fit_volume(volume, tmp_path / "m.amgsrn", settings, options()).training
    size = (tmp_path / "m.amgsrn").stat().st_size
    assert 0.8 * 200_000 < size <= 200_000
    header = read_header(tmp_path / "m.amgsrn")
    config = AMGSRNConfig.from_dict(header.architecture)
    assert file_size(config, Fields.of_volume(volume), training, half) == pytest.approx(size, abs=200)
    assert header.architecture["scaling"] == [[0.0, 1.0], [0.0, 2.5], [-1.25, 4.0]]


def options() -> FitOptions:
    return FitOptions(CPU, quiet=True, say=lambda message: None)


def waves(shape: tuple[int, int, int] = (14, 15, 16)) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    return np.stack([np.sin(3 * x + y), 1e6 * np.cos(2 * z) * x, 1e-3 * y * z], axis=-1)


def test_an_interrupted_fit_of_components_ends_with_the_same_bits(tmp_path, monkeypatch) -> None:
    values = waves()
    values[:5, :5, :5] = np.nan
    volume, settings = make_volume(values), FitSettings.of(steps=60, batch=300)
    whole = fit_volume(volume, tmp_path / "whole.amgsrn", settings, options()).training
    with monkeypatch.context() as patch:
        interrupt_after(patch, 31)
        with pytest.raises(errors.FitInterrupted):
            fit_volume(volume, tmp_path / "parts.amgsrn", settings, options())
    checkpoint = tmp_path / "parts.amgsrn.checkpoint"
    assert open_field(checkpoint, "cpu").has_gaps, "checkpoints can be looked at"
    parts = fit_volume(volume, tmp_path / "parts.amgsrn", settings, options()).training
    assert parts["psnr_db"] == whole["psnr_db"]
    fields = [open_field(tmp_path / f"{name}.amgsrn", "cpu") for name in ("whole", "parts")]
    one, other = (field.field.network.state_dict() for field in fields)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("recipe", ["fast", "paper", "paper++"])
def test_all_recipes_learn_components(tmp_path, recipe) -> None:
    volume = make_volume(waves(), names=("u", "v", "w"))
    training = fit_volume(
        volume, tmp_path / "m.amgsrn", FitSettings.of(steps=300, batch=500, recipe=recipe), options()
    ).training
    assert [part["name"] for part in training["components"]] == ["u", "v", "w"]
    assert all(part["psnr_db"] > 20 for part in training["components"])
    field = open_field(tmp_path / "m.amgsrn", "cpu")
    found = sample_nodes(field, *native_nodes(field)).astype(np.float64)
    relative = np.square((found - volume.values) / np.ptp(volume.values.reshape(-1, 3).astype(np.float64), axis=0))
    assert training["psnr_db"] == pytest.approx(-10 * np.log10(relative.mean()), abs=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_netcdf):
    """A folder with v.nc, and m.amgsrn: three of its variables, one corner missing."""
    folder = tmp_path_factory.mktemp("components")
    values = waves().astype(np.float32)
    values[:4, :5, :6] = np.nan
    names = ("x_velocity", "y_velocity", "z_velocity")
    write_netcdf(folder / "v.nc", {name: values[..., k] for k, name in enumerate(names)} | {"other": values[..., 0]})
    assert main(["fit", str(folder / "v.nc"), "-o", str(folder / "m.amgsrn"), "--variable", ",".join(names),
                 "--steps", "200", "--batch", "500"]) == 0  # fmt: skip
    return folder


@pytest.fixture
def call(folder, call_in):
    return call_in(folder)


def test_the_array_has_the_name_that_the_variables_have_in_common_or_the_one_asked_for(folder, call) -> None:
    array = read_header(folder / "m.amgsrn").array
    assert (array.name, array.components) == ("velocity", 3)
    assert array.component_names == ("x_velocity", "y_velocity", "z_velocity")
    call("fit", "v.nc", "-o", "n.amgsrn", "--variable", "other", "--name", "rho", "--steps", 5, "--batch", 50)
    assert read_header(folder / "n.amgsrn").array.name == "rho"
    assert json.loads(call("evaluate", "n.amgsrn", "v.nc", "--json"))["variable"] == "other"


def test_evaluate_and_info_tell_of_every_component(folder, call) -> None:
    result = json.loads(call("evaluate", "m.amgsrn", "v.nc", "--json"))
    stored = read_header(folder / "m.amgsrn").training
    assert [part["name"] for part in result["components"]] == ["x_velocity", "y_velocity", "z_velocity"]
    assert result["psnr_db"] == pytest.approx(stored["psnr_db"], rel=1e-9)
    assert result["wrong_gaps"] == 0
    text = call("info", "m.amgsrn")
    for word in ("range of x_velocity", "range of z_velocity", "MLP 64-64-3", "wrong gaps"):
        assert word in text


def test_a_volume_of_fewer_components_is_another_one(folder, call, capsys) -> None:
    call("info", "m.amgsrn")
    assert main(["evaluate", "m.amgsrn", "v.nc", "--variable", "other"]) == 2
    assert "has 3 values per point, what was read of 'v.nc' has 1" in capsys.readouterr().err


def test_export_to_netcdf_has_a_variable_for_every_component(folder, call) -> None:
    call("export", "m.amgsrn", "out.nc", "--overwrite")
    field = open_field(folder / "m.amgsrn", "cpu")
    found = sample_nodes(field, *native_nodes(field))
    with netCDF4.Dataset(folder / "out.nc") as file:
        for k, name in enumerate(("x_velocity", "y_velocity", "z_velocity")):
            assert np.isnan(file[name]._FillValue)
            exported = file[name][:]
            np.testing.assert_array_equal(np.ma.getmaskarray(exported), np.isnan(found[..., k]))
            np.testing.assert_allclose(exported.filled(0), np.nan_to_num(found[..., k]), atol=1e-6)


def test_export_to_image_data_hides_the_gaps(folder, call, monkeypatch) -> None:
    monkeypatch.setattr("trainer.export._SLAB_VALUES", 2000)  # several slabs
    call("export", "m.amgsrn", "out.vti", "--overwrite")
    head, data = (folder / "out.vti").read_bytes().split(b'<AppendedData encoding="raw">\n_')
    values, ghosts = ET.fromstring(head + b"</VTKFile>").iter("DataArray")
    assert (values.get("Name"), values.get("NumberOfComponents"), values.get("ComponentName1")) == (
        "velocity",
        "3",
        "y_velocity",
    )
    assert ghosts.get("Name") == "vtkGhostType"
    count = 14 * 15 * 16
    at = int(ghosts.get("offset"))
    assert [int(np.frombuffer(data[o : o + 8], np.uint64)[0]) for o in (0, at)] == [12 * count, count]
    found = np.frombuffer(data[8 : 8 + 12 * count], np.float32).reshape(14, 15, 16, 3)
    hidden = np.frombuffer(data[at + 8 : at + 8 + count], np.uint8).reshape(14, 15, 16)
    expected = np.zeros((14, 15, 16), bool)
    expected[:4, :5, :6] = True
    np.testing.assert_array_equal(hidden, 2 * expected)
    np.testing.assert_array_equal(np.isnan(found).all(axis=3), expected)
    assert data[at + 8 + count :] == b"\n</AppendedData>\n</VTKFile>\n"


def test_render_draws_one_component_or_the_magnitude(folder, call) -> None:
    pictures = {}
    for name in ("x_velocity", "2", "magnitude"):
        call("render", "m.amgsrn", "p.png", "--size", "40,30", "--overwrite", "--component", name)
        pictures[name] = (folder / "p.png").read_bytes()
    assert len(set(pictures.values())) == 3
    call("render", "m.amgsrn", "p.png", "--size", "40,30", "--overwrite")
    assert (folder / "p.png").read_bytes() == pictures["magnitude"]


def test_components_are_found_by_name_and_number() -> None:
    wind = ArrayInfo("wind", "m/s", (-1.0, 1.0), 3, ("u", "v", "w"), ((-1.0, 1.0),) * 3)
    assert [choose_component(wind, name) for name in ("u", "w", "1", "magnitude", None)] == [
        0,
        2,
        1,
        MAGNITUDE,
        MAGNITUDE,
    ]
    assert [choose_component(ArrayInfo("rho"), name) for name in (None, "rho", "0")] == [0, 0, 0]
    for array, wrong in ((wind, "rho"), (wind, "3"), (ArrayInfo("rho"), "magnitude"), (wind, "-1")):
        with pytest.raises(AmgsrnError, match="none of that name; choose one of: "):
            choose_component(array, wrong)
