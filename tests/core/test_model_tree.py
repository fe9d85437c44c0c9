# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import copy
import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amgsrn_core import ArrayInfo, Axis, Domain, open_field, read_header, save_field
from amgsrn_core.errors import ModelFileDamaged, ModelFileError, ModelNotWritable
from amgsrn_core.models import (
    AMGSRN,
    AMGSRNConfig,
    AMGSRNField,
    ConstantField,
    EnsembleField,
    Mask,
    MaskedField,
    SeriesField,
)
from amgsrn_core.partition import Partition
from amgsrn_core.storage import (
    ModelHeader,
    Part,
    brick_prefix,
    ensemble_description,
    part_of,
    part_of_field,
    series_description,
    share_masks,
    step_prefix,
    write_tree,
)

DOMAIN = Domain((Axis.uniform(9, 1.0, 0.5), Axis.rectilinear([0, 1, 4, 6, 7]), Axis.uniform(4)), ("m", "m", "hPa"), 2.5)
ARRAY = ArrayInfo("temperature", "K", (200.0, 310.0))
VECTOR = ArrayInfo("wind", "m/s", (-30.0, 50.0), 3, ("u", "v", "w"), ((-30.0, 50.0), (-20.0, 20.0), (-1.0, 2.0)))
CONFIG = AMGSRNConfig(grids=3, resolution=(4, 5, 6), hidden=(8,))
PARTITION = Partition.equal_split(DOMAIN.dimensions, (2, 2, 1), 1.0)
NODES = torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1


def network_field(seed: int, domain: Domain = DOMAIN, array: ArrayInfo = ARRAY, **config: Any) -> AMGSRNField:
    network = AMGSRN(AMGSRNConfig(**{**vars(CONFIG), "outputs": array.components, **config}), seed)
    with torch.no_grad():
        network.grids.mul_(1000.0)
    return AMGSRNField(network, domain, array)


def gaps(domain: Domain, seed: int = 0) -> Mask:
    return Mask.of(np.random.default_rng(seed).random(domain.shape) < 0.7)


def brick_fields() -> list[AMGSRNField | ConstantField | MaskedField]:
    domains = [DOMAIN.part(PARTITION.extent(k)) for k in range(PARTITION.count)]
    return [
        network_field(0, domains[0], ArrayInfo("temperature", "K", (210.0, 250.0))),
        ConstantField((205.5,), domains[1], ARRAY),
        MaskedField(network_field(2, domains[2], grids=2), gaps(domains[2])),
        ConstantField(None, domains[3], ARRAY),
    ]


def write_ensemble(path: Path, parts: list[Part]) -> None:
    nodes = [{**part.node, "training": {"psnr_db": 30.0 + k}} for k, part in enumerate(parts)]
    header = ModelHeader(ensemble_description(PARTITION, nodes), DOMAIN, ARRAY)
    write_tree(path, header, [(brick_prefix(k), part.tensors) for k, part in enumerate(parts)])


def write_series(path: Path, steps: list[Part], times: tuple[float, ...]) -> None:
    header = ModelHeader(series_description(times, [step.node for step in steps]), DOMAIN, ARRAY)
    write_tree(path, header, [(step_prefix(i), step.tensors) for i, step in enumerate(steps)])


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    path = tmp_path / "ensemble.amgsrn"
    write_ensemble(path, [part_of_field(field) for field in brick_fields()])
    return path


@pytest.fixture
def series(tmp_path: Path) -> Path:
    path = tmp_path / "series.amgsrn"
    steps = share_masks(part_of_field(MaskedField(network_field(i), gaps(DOMAIN))) for i in range(3))
    write_series(path, steps, (1.0, 2.0, 4.0))
    return path


@given(
    transform=st.sampled_from(["matrix", "srt"]),
    bias=st.booleans(),
    hidden=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    outputs=st.integers(1, 3),
)
def test_shapes_are_known_without_a_network(transform: str, bias: bool, hidden: tuple[int, ...], outputs: int) -> None:
    config = AMGSRNConfig(3, 2, (2, 3, 4), hidden, outputs, transform, bias)
    network = AMGSRN(config)
    assert config.shapes() == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert config.parameter_count() == network.parameter_count()


def test_several_components_have_their_own_ranges(tmp_path: Path) -> None:
    field = network_field(3, array=VECTOR)
    save_field(tmp_path / "m.amgsrn", field)
    again = open_field(tmp_path / "m.amgsrn", "cpu")
    assert again.array == VECTOR
    low, high = torch.tensor(VECTOR.component_ranges).unbind(1)
    expected = low + field.network(NODES) * (high - low)
    torch.testing.assert_close(again.sample(NODES), expected)
    values, gradients = again.sample_with_gradient(NODES)
    torch.testing.assert_close(values, expected)
    step = torch.tensor([1e-3, 0.0, 0.0])
    slope = (again.sample(NODES + step) - again.sample(NODES - step)) / 2e-3
    assert torch.quantile((gradients[:, :, 0] - slope).abs() / (high - low), 0.9) < 1e-2


def test_versions_are_the_oldest_that_can_read_a_file(tmp_path: Path) -> None:
    plain, masked, vector = (
        network_field(0),
        MaskedField(network_field(0), gaps(DOMAIN)),
        network_field(0, array=VECTOR),
    )
    scaled = AMGSRNField(network_field(0).network, DOMAIN, ARRAY, ((0.0, 1.0),))
    constant = ConstantField((1.0,), DOMAIN, ARRAY)
    fields = {"plain": plain, "masked": masked, "vector": vector, "scaled": scaled, "constant": constant}
    versions = {}
    for name, field in fields.items():
        save_field(tmp_path / name, field)
        with safetensors.safe_open(tmp_path / name, "pt") as file:
            versions[name] = json.loads(file.metadata()["amgsrn"])["format_version"]
        again = open_field(tmp_path / name, "cpu")
        assert again.has_gaps == field.has_gaps
        assert torch.equal(again.sample(NODES).nan_to_num(7.0), field.sample(NODES).nan_to_num(7.0))
    assert versions == {"plain": 1, "masked": 2, "vector": 2, "scaled": 2, "constant": 2}


def test_the_header_alone_counts(ensemble: Path, series: Path) -> None:
    tree = read_header(ensemble).tree
    one, two = (AMGSRNConfig(**{**vars(CONFIG), "grids": grids}).parameter_count() for grids in (3, 2))
    assert (tree.bricks, tree.steps, tree.parameters) == ((2, 2, 1), None, one + two)
    assert [node.training["psnr_db"] for node in tree.members] == [30.0, 31.0, 32.0, 33.0]
    assert [node.label for node in tree.members] == ["brick 0", "brick 1", "brick 2", "brick 3"]
    tree = read_header(series).tree
    assert (tree.bricks, tree.steps, tree.parameters) == (None, 3, 3 * one)
    assert read_header(series).domain.times == (1.0, 2.0, 4.0)


def test_files_of_parts_hold_what_the_parts_hold(tmp_path: Path) -> None:
    """Copied from files, bit by bit, and readable by the format's own package; half precision stays half."""
    files = []
    for k, field in enumerate(brick_fields()):
        files.append(tmp_path / f"brick-{k}.amgsrn")
        save_field(files[-1], field, half=k == 0)
    write_ensemble(tmp_path / "all.amgsrn", [part_of(file) for file in files])
    with safetensors.safe_open(tmp_path / "all.amgsrn", "pt") as whole:
        names = set(whole.keys())
        for k, file in enumerate(files):
            for name, tensor in safetensors.torch.load_file(file).items():
                found = whole.get_tensor(brick_prefix(k) + name)
                assert found.dtype == tensor.dtype
                assert torch.equal(found, tensor)
                names.remove(brick_prefix(k) + name)
        assert not names
    members = read_header(tmp_path / "all.amgsrn").tree.members
    assert members[0].scaling == ((210.0, 250.0),)


def test_masks_of_steps_are_stored_once_and_shared(series: Path) -> None:
    with safetensors.safe_open(series, "pt") as file:
        assert [name for name in file.keys() if name.endswith("mask")] == ["step0.mask"]  # noqa: SIM118
    field = open_field(series, "cpu")
    assert isinstance(field, SeriesField)
    steps = [field.step(i) for i in range(3)]
    assert steps[0].mask is steps[2].mask
    assert not torch.equal(steps[0].sample(NODES).nan_to_num(), steps[2].sample(NODES).nan_to_num())


def test_steps_with_gaps_of_their_own_keep_them(tmp_path: Path) -> None:
    fields = [MaskedField(network_field(i), gaps(DOMAIN, seed=i)) for i in range(2)]
    write_series(tmp_path / "s.amgsrn", share_masks(map(part_of_field, fields)), (0.0, 1.0))
    for i, field in enumerate(fields):
        again = open_field(tmp_path / "s.amgsrn", "cpu", time=float(i))
        assert torch.equal(again.sample(NODES).nan_to_num(7.0), field.sample(NODES).nan_to_num(7.0))


def test_only_the_tensors_of_the_architecture_can_be_written(tmp_path: Path) -> None:
    part = part_of_field(network_field(0))
    for tensors in ({**part.tensors, "more": part.tensors["grids"]}, {"grids": part.tensors["grids"]}):
        with pytest.raises(ValueError, match="tensor 'step0"):
            write_series(tmp_path / "s.amgsrn", [Part(part.node, tensors)], (0.0,))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelNotWritable):
        write_series(tmp_path / "none" / "s.amgsrn", [part], (0.0,))


def test_parts_are_copied_piece_by_piece(tmp_path: Path) -> None:
    """However large a tensor is, a few MiB are in memory."""
    field = network_field(0, resolution=(128, 128, 64), grids=3)
    save_field(tmp_path / "part.amgsrn", field)
    pieces = list(part_of(tmp_path / "part.amgsrn").tensors["grids"].chunks())
    assert max(map(len, pieces)) <= 1 << 22 < field.network.grids.nbytes
    assert b"".join(pieces) == field.network.grids.detach().numpy().tobytes()


def test_a_part_that_changes_before_it_is_copied_is_noticed(tmp_path: Path) -> None:
    save_field(tmp_path / "part.amgsrn", network_field(0))
    part = part_of(tmp_path / "part.amgsrn")
    save_field(tmp_path / "part.amgsrn", network_field(0, grids=5))
    with pytest.raises(ModelFileDamaged, match="has changed"):
        write_series(tmp_path / "s.amgsrn", [part], (0.0,))
    assert [file.name for file in tmp_path.iterdir()] == ["part.amgsrn"]


def test_a_part_that_changes_to_another_of_its_size_is_noticed(tmp_path: Path) -> None:
    save_field(tmp_path / "part.amgsrn", network_field(0))
    part = part_of(tmp_path / "part.amgsrn")
    save_field(tmp_path / "part.amgsrn", network_field(1))
    with pytest.raises(ModelFileDamaged, match="has changed"):
        write_series(tmp_path / "s.amgsrn", [part], (0.0,))


def test_masks_of_different_boxes_are_not_shared(tmp_path: Path) -> None:
    """However alike their bytes are."""
    steps = []
    for edges in ((0.0, 4.0, 6.0, 8.0), (0.0, 2.0, 4.0, 8.0)):
        partition = Partition(DOMAIN.dimensions, (edges, (0.0, 4.0), (0.0, 3.0)))
        members = []
        for k in range(partition.count):
            domain = DOMAIN.part(partition.extent(k))
            nothing_but_one = np.zeros(domain.shape, bool)
            nothing_but_one.flat[0] = True
            members.append(part_of_field(MaskedField(ConstantField((250.0,), domain, ARRAY), Mask.of(nothing_but_one))))
        tensors = {f"{brick_prefix(k)}mask": member.tensors["mask"] for k, member in enumerate(members)}
        steps.append(Part(ensemble_description(partition, [member.node for member in members]), tensors))
    write_series(tmp_path / "s.amgsrn", share_masks(steps), (0.0, 1.0))
    corner = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
    for time in (0.0, 1.0):
        values = open_field(tmp_path / "s.amgsrn", "cpu", time=time).sample(corner)
        assert values.isnan().tolist() == [[False], [True]]


def rewrite(path: Path, change: Callable[[dict[str, Any]], None], **tensors: torch.Tensor | None) -> None:
    """Change a model's description and tensors, whatever becomes of it."""
    stored: dict[str, torch.Tensor | None] = dict(safetensors.torch.load_file(path))
    with safetensors.safe_open(path, "pt") as file:
        content = json.loads(file.metadata()["amgsrn"])
    change(content)
    kept = {name: tensor for name, tensor in {**stored, **tensors}.items() if tensor is not None}
    safetensors.torch.save_file(kept, path, {"amgsrn": json.dumps(content)})


def setting(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        *folders, name = [int(key) if key.isdigit() else key for key in place.split(".")]
        target: Any = content["architecture"]
        for folder in folders:
            target = target[folder]
        target[name] = value

    return change


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("type", ["ensemble"]),
        ("bricks", [10**9, 10**9, 10**9]),
        ("bricks", [2, 2]),
        ("bricks", None),
        ("edges", [[0, 4, 8], [0, 2, 4], [0, float("nan")]]),
        ("edges", [[0, -4, 8], [0, 2, 4], [0, 3]]),
        ("edges", [[0, 4, 8], [0, 2, 4], [0, 1e300]]),
        ("overlap", -1),
        ("overlap", [100, 0, 0]),
        ("overlap", "wide"),
        ("members", []),
        ("members", [None, None, None, None]),
        ("members", {"a": 1}),
        ("members.0", 7),
        ("members.0.type", "ensemble"),
        ("members.0.grids", 10**18),
        ("members.0.grids", float("inf")),
        ("members.0.resolution", [2**40, 2, 2]),
        ("members.0.outputs", 2),
        ("members.0.scaling", [[0, 1], [0, 1]]),
        ("members.0.scaling", [[0, float("nan")]]),
        ("members.0.training", 3),
        ("members.1.values", [1.0, 2.0]),
        ("members.1.values", ["warm"]),
        ("members.1.values", [float("inf")]),
        ("members.2.mask.shape", [2**31, 2**31, 2**31]),
        ("members.2.mask.shape", [4, 4, 4]),
        ("members.2.mask.codec", "pickle"),
        ("members.2.mask", {"same_as": 0}),
        ("members.2.mask", 5),
    ],
)
def test_wrong_trees_are_damage_in_one_line(ensemble: Path, place: str, value: Any) -> None:
    rewrite(ensemble, setting(place, value))
    with pytest.raises(ModelFileDamaged) as caught:
        open_field(ensemble, "cpu")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    if place.startswith("members.0"):
        assert "brick 0" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("times", [1.0, 2.0]),
        ("times", [1.0, 1.0, 2.0]),
        ("times", [1.0, 2.0, float("inf")]),
        ("times", []),
        ("members.1.mask", {"same_as": 1}),
        ("members.1.mask", {"same_as": 2}),
        ("members.1.mask", {"same_as": -1}),
        ("members.2.mask", {"same_as": 1}),
        ("members.1", {"type": "series", "times": [0.0], "members": []}),
        ("members.0.mask", None),
    ],
)
def test_wrong_series_are_damage_in_one_line(series: Path, place: str, value: Any) -> None:
    rewrite(series, setting(place, value))
    with pytest.raises(ModelFileDamaged) as caught:
        open_field(series, "cpu")
    assert "\n" not in str(caught.value)


def nothing(content: dict[str, Any]) -> None:
    del content


def test_a_damaged_brick_is_named(ensemble: Path) -> None:
    with safetensors.safe_open(ensemble, "pt") as file:
        mask = file.get_tensor("brick2.mask")
    for name, tensor, reason in [
        ("brick2.grids", None, "brick 2: tensor 'brick2.grids' is missing"),
        ("brick2.grids", torch.zeros(3), "brick 2: tensor 'brick2.grids' has shape"),
        ("brick2.mask", None, "mask of brick 2"),
        ("brick2.mask", mask[:2].clone(), "mask of brick 2"),
        ("brick2.mask", mask.float(), "mask of brick 2"),
    ]:
        damaged = ensemble.with_name("damaged.amgsrn")
        damaged.write_bytes(ensemble.read_bytes())
        rewrite(damaged, nothing, **{name: tensor})
        with pytest.raises(ModelFileDamaged, match=reason):
            open_field(damaged, "cpu")


def test_a_damaged_mask_is_told_when_it_is_needed(tmp_path: Path) -> None:
    save_field(tmp_path / "m.amgsrn", MaskedField(network_field(0), gaps(DOMAIN)))
    rewrite(tmp_path / "m.amgsrn", nothing, mask=torch.arange(20, dtype=torch.uint8))
    field = open_field(tmp_path / "m.amgsrn", "cpu")
    with pytest.raises(ModelFileDamaged, match="unreadable mask"):
        field.sample(NODES)


def test_a_file_cut_short_while_it_is_open_is_told(series: Path) -> None:
    field = open_field(series, "cpu")
    assert isinstance(field, SeriesField)
    field.step(0)
    content = series.read_bytes()
    with series.open("rb+") as file:
        file.truncate(len(content) // 2)
    with pytest.raises(ModelFileDamaged, match="truncated"):
        field.step(2)


def test_a_file_that_is_replaced_stays_the_one_that_was_opened(series: Path) -> None:
    field = open_field(series, "cpu")
    assert isinstance(field, SeriesField)
    save_field(series, network_field(9))
    assert field.step(2).sample(NODES).shape == (200, 1)


def test_truncation_anywhere_is_one_clear_error(ensemble: Path) -> None:
    whole = ensemble.read_bytes()
    for length in [*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1]:
        ensemble.write_bytes(whole[:length])
        with pytest.raises(ModelFileError) as caught:
            open_field(ensemble, "cpu")
        assert "\n" not in str(caught.value)


def container(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_raw(path: Path, header: Any, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize(
    "change",
    [
        {"data_offsets": [0, 4]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": "all"},
        {"data_offsets": [0.0, 4.0]},
        {"shape": [2**31, 2**31]},
        {"shape": [-1, -1]},
        {"shape": 4},
        {"dtype": "F8"},
        {"dtype": ["F32"]},
    ],
)
def test_absurd_places_of_tensors_are_damage(ensemble: Path, change: dict[str, Any]) -> None:
    header, data = container(ensemble)
    header["brick0.grids"].update(change)
    write_raw(ensemble, header, data)
    with pytest.raises(ModelFileDamaged) as caught:
        open_field(ensemble, "cpu")
    assert "\n" not in str(caught.value)


def test_overlapping_tensors_and_bytes_of_no_tensor_are_damage(ensemble: Path) -> None:
    header, data = container(ensemble)
    overlapping = copy.deepcopy(header)
    overlapping["brick0.grids"]["data_offsets"] = [at - 4 for at in header["brick0.grids"]["data_offsets"]]
    for broken, content in ((overlapping, data), (header, data + b"more")):
        write_raw(ensemble, broken, content)
        with pytest.raises(ModelFileDamaged):
            open_field(ensemble, "cpu")


def test_headers_nested_without_end_are_refused(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.amgsrn", b'{"a":' + b"[" * 10**6, b"")
    write_raw(tmp_path / "b.amgsrn", {"__metadata__": {"amgsrn": '{"format_version":' + "[" * 10**6}}, b"")
    write_raw(tmp_path / "c.amgsrn", {"__metadata__": ["amgsrn"]}, b"")
    for name in "abc":
        with pytest.raises(ModelFileError):
            open_field(tmp_path / f"{name}.amgsrn")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_shuffled_headers_never_raise_anything_else(series: Path, data: st.DataObject) -> None:
    content = bytearray(series.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        a, b, length = (data.draw(st.integers(8, header - 20)) for _ in range(3))
        length = length % 12
        content[a : a + length], content[b : b + length] = content[b : b + length], content[a : a + length]
    other = series.with_name("shuffled.amgsrn")
    other.write_bytes(content)
    try:
        field = open_field(other, "cpu", time=4.0)
        field.sample(NODES[:2])
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_a_thousand_bricks_open_by_their_header(tmp_path: Path) -> None:
    """Opening reads none of the bricks: where their tensors are, the file is a hole as large as 1000 large networks."""
    dimensions = (101, 101, 101)
    domain = Domain((Axis.uniform(101), Axis.uniform(101), Axis.uniform(101)))
    partition = Partition.equal_split(dimensions, (10, 10, 10))
    config = AMGSRNConfig(grids=32, channels=2, resolution=(64, 64, 64))
    tree = ensemble_description(partition, [config.to_dict()] * 1000)
    header: dict[str, Any] = {"__metadata__": {"amgsrn": ModelHeader(tree, domain, ARRAY).to_json()}}
    end = 0
    for k in range(1000):
        for name, shape in config.shapes().items():
            start, end = end, end + 4 * int(np.prod(shape))
            header[brick_prefix(k) + name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    write_raw(tmp_path / "m.amgsrn", header, b"")
    with (tmp_path / "m.amgsrn").open("rb+") as file:
        file.truncate((tmp_path / "m.amgsrn").stat().st_size + end)
    tree = read_header(tmp_path / "m.amgsrn").tree
    assert (tree.bricks, tree.parameters) == ((10, 10, 10), 1000 * config.parameter_count())
    assert open_field(tmp_path / "m.amgsrn", "cpu").domain == domain


def test_a_stored_ensemble_is_what_its_bricks_are(ensemble: Path) -> None:
    """In the cores of bricks, away from where they are blended, gaps included."""
    field = open_field(ensemble, "cpu")
    assert isinstance(field, EnsembleField)
    assert field.has_gaps
    assert field.array == ARRAY
    owners = PARTITION.owners(NODES)
    for k, brick in enumerate(brick_fields()):
        alone = (PARTITION.weights(NODES, k) == 1.0) & (owners == k)
        assert alone.any()
        expected = brick.sample(PARTITION.to_local(NODES[alone], k))
        torch.testing.assert_close(field.sample(NODES[alone]), expected, equal_nan=True, rtol=1e-5, atol=1e-3)


def test_a_brick_is_read_when_a_point_needs_it(ensemble: Path) -> None:
    with safetensors.safe_open(ensemble, "pt") as file:
        grids = file.get_tensor("brick2.grids")
    rewrite(ensemble, nothing, **{"brick2.grids": torch.full_like(grids, torch.inf)})
    field = open_field(ensemble, "cpu")
    assert field.sample(torch.tensor([[-0.9, -0.9, 0.0]])).isfinite().all()
    with pytest.raises(ModelFileDamaged, match=r"brick 2: tensor 'brick2.grids' holds values that are not finite"):
        field.sample(torch.tensor([[-0.9, 0.9, 0.0]]))


def test_only_a_series_has_times(ensemble: Path) -> None:
    """Whatever the description of the domain says."""

    def add_times(content: dict[str, Any]) -> None:
        content["domain"]["times"] = [0.0, 1.0]

    rewrite(ensemble, add_times)
    assert read_header(ensemble).domain.times == ()
    assert open_field(ensemble, "cpu").domain.times == ()


def test_masks_leave_memory_with_their_bricks(ensemble: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMGSRN_MEMORY", "1")
    loaded: list[weakref.ref[Mask]] = []
    made = Mask.__init__
    monkeypatch.setattr(
        Mask, "__init__", lambda mask, *about: (loaded.append(weakref.ref(mask)), made(mask, *about))[1]
    )
    field = open_field(ensemble, "cpu")
    assert field.sample(torch.tensor([[-0.9, 0.9, 0.0]])).shape == (1, 1)
    (mask,) = loaded
    assert mask() is not None
    field.sample(torch.tensor([[-0.9, -0.9, 0.0]]))
    gc.collect()
    assert mask() is None


def test_steps_and_their_bricks_share_one_limit_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition.equal_split(DOMAIN.dimensions, (2, 2, 2))
    networks = [network_field(k, DOMAIN.part(partition.extent(k))) for k in range(partition.count)]
    members = [part_of_field(network) for network in networks]
    description = ensemble_description(partition, [member.node for member in members])
    tensors = {brick_prefix(k) + name: t for k, member in enumerate(members) for name, t in member.tensors.items()}
    write_series(tmp_path / "s.amgsrn", [Part(description, tensors)] * 3, (0.0, 1.0, 2.0))

    def in_memory(limit: int) -> int:
        monkeypatch.setenv("AMGSRN_MEMORY", str(limit))
        series = open_field(tmp_path / "s.amgsrn", "cpu")
        assert isinstance(series, SeriesField)
        for time in (0.5, 1.5):
            series.at(time, interpolate=True).sample(NODES)
        steps = [series.step(i) for i in (1, 2)]
        assert all(isinstance(step, EnsembleField) for step in steps)
        return sum(step.bytes_in_memory for step in steps)

    everything = in_memory(1 << 30)
    for share in (0.9, 0.5):
        assert 0 < in_memory(int(share * everything)) <= share * everything


def test_a_series_of_ensembles(tmp_path: Path) -> None:
    """Steps of bricks, whose masks are shared, too."""
    steps = []
    for seed in range(2):
        bricks = [part_of_field(field) for field in brick_fields()]
        bricks[0] = part_of_field(network_field(10 + seed, DOMAIN.part(PARTITION.extent(0))))
        nodes = [brick.node for brick in bricks]
        tensors = {brick_prefix(k) + name: t for k, brick in enumerate(bricks) for name, t in brick.tensors.items()}
        steps.append(Part(ensemble_description(PARTITION, nodes), tensors))
    write_series(tmp_path / "s.amgsrn", share_masks(steps), (0.0, 1.0))
    tree = read_header(tmp_path / "s.amgsrn").tree
    assert (tree.steps, tree.bricks) == (2, (2, 2, 1))
    assert tree.members[1].members[2].mask_prefix == "step0.brick2."
    for seed in range(2):
        field = open_field(tmp_path / "s.amgsrn", "cpu", time=float(seed))
        corner = torch.tensor([[-1.0, -1.0, -1.0]])
        expected = network_field(10 + seed, DOMAIN.part(PARTITION.extent(0))).sample(corner)
        torch.testing.assert_close(field.sample(corner), expected)
        assert field.sample(NODES).isnan().any()
    write_ensemble(tmp_path / "one.amgsrn", [part_of_field(field) for field in brick_fields()])
    again = part_of(tmp_path / "one.amgsrn")
    write_series(tmp_path / "again.amgsrn", [again, again], (0.0, 1.0))
    assert open_field(tmp_path / "again.amgsrn", "cpu").sample(NODES).isnan().any()
