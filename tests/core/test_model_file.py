# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import contextlib
import json
import pickle
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amgsrn_core import ArrayInfo, Axis, Domain, open_field, read_header, save_field
from amgsrn_core.errors import (
    DeviceUnavailable,
    ModelFileDamaged,
    ModelFileError,
    ModelFileMissing,
    ModelFileTooNew,
    ModelNotWritable,
    NotAModelFile,
)
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField
from amgsrn_core.storage import FORMAT_VERSION

DOMAIN = Domain((Axis.uniform(9, 1.0, 0.5), Axis.rectilinear([0, 1, 4]), Axis.uniform(4)), ("m", "m", "hPa"), 2.5, "s")


def make_field(config: AMGSRNConfig | None = None, seed: int = 0) -> AMGSRNField:
    network = AMGSRN(config or AMGSRNConfig(grids=3, resolution=(4, 5, 6), hidden=(8,)), seed)
    return AMGSRNField(network, DOMAIN, ArrayInfo("temperature", "K", (200.0, 310.0)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.amgsrn"
    save_field(path, make_field(), {"psnr_db": 40.0})
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=st.builds(
        AMGSRNConfig,
        grids=st.integers(1, 4),
        channels=st.integers(1, 3),
        resolution=st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(2, 5)),
        hidden=st.lists(st.integers(1, 9), min_size=0, max_size=3).map(tuple),
        transform=st.sampled_from(["matrix", "srt"]),
        bias=st.booleans(),
    ),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    seed=st.integers(0, 2**31),
)
def test_round_trip_keeps_values_bit_by_bit(tmp_path: Path, config: AMGSRNConfig, name: str, seed: int) -> None:
    field = make_field(config, seed)
    field.array = ArrayInfo(name, "K", (-1.0, 1e30))
    save_field(tmp_path / "m.amgsrn", field, {"recipe": "fast", "note": name})
    again = open_field(tmp_path / "m.amgsrn", "cpu")
    points = torch.rand(50, 3) * 2 - 1
    assert torch.equal(field.sample(points), again.sample(points))
    assert again.domain == DOMAIN
    assert again.array == field.array
    assert read_header(tmp_path / "m.amgsrn").training == {"recipe": "fast", "note": name}


def test_half_precision_is_of_features_alone_and_loses_nothing_that_was_rounded_before(tmp_path: Path) -> None:
    field = make_field()
    network = field.network
    with torch.no_grad():
        network.grids.copy_(network.grids.half())
    save_field(tmp_path / "half.amgsrn", field, half=True)
    save_field(tmp_path / "single.amgsrn", field)
    again = open_field(tmp_path / "half.amgsrn", "cpu").network
    assert again.grids.dtype == torch.float32
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    with safetensors.safe_open(tmp_path / "half.amgsrn", "pt") as file:
        halves = [name for name in file.keys() if file.get_tensor(name).dtype == torch.float16]  # noqa: SIM118
    assert halves == ["grids"]
    sizes = [(tmp_path / f"{kind}.amgsrn").stat().st_size for kind in ("single", "half")]
    assert sizes[0] - sizes[1] == pytest.approx(2 * network.grids.numel(), abs=16)


def test_the_file_is_plain_safetensors_with_json(model: Path) -> None:
    with safetensors.safe_open(model, "pt") as file:
        content = json.loads(file.metadata()["amgsrn"])
    assert content["format_version"] == 1  # older software reads what it can
    assert content["architecture"]["type"] == "amgsrn"
    assert b"pickle" not in model.read_bytes()


def test_truncation_anywhere_is_one_clear_error(model: Path) -> None:
    whole = model.read_bytes()
    for length in [0, 1, 7, 8, 9, 50, *range(100, len(whole), max(1, len(whole) // 40)), len(whole) - 1]:
        model.write_bytes(whole[:length])
        with pytest.raises(ModelFileError) as caught:
            open_field(model)
        message = str(caught.value)
        assert str(model) in message
        assert "\n" not in message


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_never_raise_anything_else(model: Path, data: st.DataObject) -> None:
    content = bytearray(model.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    at = data.draw(st.integers(0, header - 1))
    content[at] = data.draw(st.integers(0, 255))
    other = model.with_name("flipped.amgsrn")
    other.write_bytes(content)
    with contextlib.suppress(ModelFileError):
        open_field(other)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.amgsrn"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        open_field(path)


def rewrite(model: Path, change: str, value: object) -> None:
    tensors = safetensors.torch.load_file(model)
    with safetensors.safe_open(model, "pt") as file:
        content = json.loads(file.metadata()["amgsrn"])
    *folders, name = change.split(".")
    place = content
    for folder in folders:
        place = place[folder]
    place[name] = value
    safetensors.torch.save_file(tensors, model, {"amgsrn": json.dumps(content)})


def test_a_newer_format_says_update(model: Path) -> None:
    rewrite(model, "format_version", FORMAT_VERSION + 1)
    with pytest.raises(ModelFileTooNew, match="update the software"):
        open_field(model)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("architecture.type", "transformer"),
        ("architecture.grids", 4),
        ("architecture.grids", -1),
        ("architecture.resolution", [4, 5]),
        ("architecture.resolution", "4,5,6"),
        ("architecture.hidden", None),
        ("architecture.transform", "__import__('os').system('true')"),
        ("domain.axes", {}),
        ("array.value_range", ["a", "b"]),
        ("array.value_range", [0.0, float("inf")]),
        ("array.value_range", [float("nan"), 1.0]),
        ("array", 7),
        ("format_version", "one"),
    ],
)
def test_wrong_descriptions_are_damage(model: Path, change: str, value: object) -> None:
    rewrite(model, change, value)
    with pytest.raises(ModelFileDamaged):
        open_field(model)


def test_values_that_are_not_finite_are_damage(model: Path) -> None:
    tensors = safetensors.torch.load_file(model)
    with safetensors.safe_open(model, "pt") as file:
        metadata = file.metadata()
    tensors["grids"][0, 0, 0, 0, 0] = float("nan")
    safetensors.torch.save_file(tensors, model, metadata)
    with pytest.raises(ModelFileDamaged, match="not finite"):
        open_field(model)


def test_other_files_are_not_models(tmp_path: Path) -> None:
    others = {
        "a.txt": b"hello, this is a text file, not a model",
        "a.nc": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "a.pkl": pickle.dumps({"state": [1, 2, 3]}),
        "a.safetensors": safetensors.torch.save({"x": torch.zeros(3)}),
        "a.json": struct.pack("<Q", 30) + b"{" + b"x" * 29,
    }
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NotAModelFile):
            open_field(tmp_path / name)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing, match="no such file"):
        open_field(tmp_path / "none.amgsrn")
    with pytest.raises(ModelFileMissing, match="not a file"):
        open_field(tmp_path)


def test_unknown_devices_name_those_there_are(model: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="choose one of: auto, cpu"):
        open_field(model, "tpu")


def test_writing_into_a_missing_folder_or_onto_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "m.amgsrn", tmp_path, Path("/proc/m.amgsrn")):
        with pytest.raises(ModelNotWritable, match=str(path)):
            save_field(path, make_field())


FULL_DISK = """
import resource, sys
from tests_model import make_field, save_field
from amgsrn_core.errors import ModelNotWritable
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    save_field(sys.argv[1], make_field(seed=1))
except ModelNotWritable as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_model_and_no_debris(model: Path, tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    before = model.read_bytes()
    script = FULL_DISK.replace("tests_model", "test_model_file")
    environment = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}", "PATH": "/usr/bin:/bin"}
    result = subprocess.run([sys.executable, "-c", script, model], env=environment, capture_output=True, text=True)
    assert "cannot write" in result.stdout, result.stderr
    assert model.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.amgsrn"]


def test_an_ordinary_file_mode(model: Path) -> None:
    other = model.with_name("plain")
    other.write_bytes(b"")
    assert model.stat().st_mode == other.stat().st_mode
