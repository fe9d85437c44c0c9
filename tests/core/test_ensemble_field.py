# SPDX-License-Identifier: BSD-3-Clause
"""Ensembles as fields: bricks come and go, values stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from amgsrn_core import ArrayInfo, Axis, Domain, Field
from amgsrn_core.errors import InvalidSetting, ModelFileDamaged
from amgsrn_core.grid import native_nodes, sample_nodes
from amgsrn_core.kernels import cpu
from amgsrn_core.memory import available_bytes, memory_limit
from amgsrn_core.models import AMGSRN, AMGSRNConfig, AMGSRNField, ConstantField, EnsembleField, Mask, MaskedField
from amgsrn_core.models.brick_cache import BrickCache
from amgsrn_core.partition import Partition

BACKENDS = ["reference", *(["cpu"] if cpu.load()[0] is not None else [])]
NODES = 33
DOMAIN = Domain((Axis.uniform(NODES), Axis.uniform(NODES), Axis.uniform(NODES)))
ARRAY = ArrayInfo("a", value_range=(-2.0, 6.0))


class Bricks:
    """Loads bricks, and remembers how often."""

    def __init__(self, partition: Partition, special: dict[int, Callable[[Domain], Field]] | None = None) -> None:
        self.partition, self.special = partition, special or {}
        self.loads: Counter[int] = Counter()

    def __call__(self, brick: int) -> Field:
        self.loads[brick] += 1
        x, y, z = (Axis.uniform(last - first + 1) for first, last in self.partition.extent(brick))
        domain = Domain((x, y, z))
        if brick in self.special:
            return self.special[brick](domain)
        network = AMGSRN(AMGSRNConfig(grids=3, channels=2, resolution=(4, 5, 6), hidden=(16, 16)), seed=brick)
        torch.nn.init.normal_(network.grids, generator=torch.Generator().manual_seed(brick))
        return AMGSRNField(network, domain, ARRAY, ((-2.0 - brick, 6.0),))

    def field(self, memory: int | None = None, has_gaps: bool = False) -> EnsembleField:
        return EnsembleField(DOMAIN, ARRAY, self.partition, self, has_gaps=has_gaps, memory=memory)


def points_for(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def partition_of(bricks: tuple[int, int, int], overlap: float = 2.0) -> Partition:
    return Partition.equal_split((NODES, NODES, NODES), bricks, overlap)


def one_brick() -> int:
    """What a brick takes in memory."""
    field = Bricks(partition_of((2, 1, 1))).field()
    field.sample(torch.tensor([[-1.0, 0.0, 0.0]]))
    return field.bytes_in_memory


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AMGSRN_KERNELS", request.param)
    return request.param


def test_inside_its_core_a_brick_answers_alone(backend: str) -> None:
    bricks = Bricks(partition_of((2, 2, 2)))
    field, points = bricks.field(), points_for(3000)
    values = field.sample(points)
    assert values.shape == (3000, 1)
    for brick in range(8):
        alone = bricks.partition.weights(points, brick) == 1
        assert alone.any()
        expected = bricks(brick).sample(bricks.partition.to_local(points[alone], brick))
        np.testing.assert_allclose(values[alone], expected, atol=1e-4)
    display = field.sample_for_display(points)
    np.testing.assert_allclose(display, values, atol=0.05 * float(values.abs().max()))
    assert field.is_threaded == (backend == "cpu")
    assert not field.has_gaps


def test_bricks_are_read_when_they_are_needed_and_once(backend: str) -> None:
    bricks = Bricks(partition_of((2, 2, 2)))
    field = bricks.field()
    assert not bricks.loads
    corner = torch.tensor([[-0.9, -0.9, 0.9]])
    field.sample(corner)
    assert bricks.loads == {4: 1}
    field.sample_with_gradient(torch.tensor([[-0.9, -0.9, 0.9], [0.9, -0.9, 0.9]]))
    assert bricks.loads == {4: 1, 5: 1}
    for _ in range(3):
        field.sample(points_for(3000))
    assert bricks.loads == dict.fromkeys(range(8), 1)
    assert field.sample(torch.empty(0, 3)).shape == (0, 1)


@pytest.mark.parametrize("overlap", [0.0, 4.0])
def test_a_limit_of_two_bricks_changes_no_value(backend: str, overlap: float) -> None:
    partition, limit = partition_of((3, 2, 2), overlap), 2 * one_brick()
    free, limited = Bricks(partition), Bricks(partition)
    whole, field, points = free.field(), limited.field(memory=limit), points_for(5000)
    for _ in range(2):
        results = (field.sample(points), *field.sample_with_gradient(points), field.sample_for_display(points))
        expected = (whole.sample(points), *whole.sample_with_gradient(points), whole.sample_for_display(points))
        for ours, wanted in zip(results, expected, strict=True):
            if backend == "cpu":
                assert torch.equal(ours, wanted)
            else:
                np.testing.assert_allclose(ours, wanted, atol=1e-4 * float(wanted.abs().max()))
        assert field.bytes_in_memory <= limit
    assert free.loads == dict.fromkeys(range(12), 1)
    # What is in memory comes first, so that each round reads two bricks less than there are.
    assert sum(limited.loads.values()) == 12 + 5 * 10


def test_less_memory_than_a_brick_needs_still_works(backend: str) -> None:
    bricks = Bricks(partition_of((2, 2, 1)))
    field, points = bricks.field(memory=1), points_for(500)
    np.testing.assert_allclose(field.sample(points), Bricks(bricks.partition).field().sample(points), atol=1e-4)
    assert field.bytes_in_memory <= one_brick() * 1.01
    assert sum(bricks.loads.values()) == 4


class Block:
    """Something of a size."""

    def __init__(self, size: int) -> None:
        self.bytes = size


def test_those_not_used_for_longest_are_given_up() -> None:
    loads: list[int] = []

    def load(brick: int) -> Block:
        loads.append(brick)
        return Block(10)

    cache = BrickCache(load, 30)

    def use(*wanted: int) -> list[list[int]]:
        return [list(group) for group in cache.groups(list(wanted))]

    assert use(0, 1, 2) == [[0, 1, 2]]
    assert use(0) == [[0]]
    assert use(3) == [[3]]  # in the place of 1
    assert sorted(cache.bricks) == [0, 2, 3]
    assert use(1, 2, 3, 4, 5) == [[2, 3, 1], [4, 5]]
    assert loads == [0, 1, 2, 3, 1, 4, 5]
    assert cache.bytes == 30


def test_larger_bricks_than_before_make_room_for_themselves() -> None:
    sizes = {0: 10, 1: 10, 2: 25, 3: 100}
    cache = BrickCache(lambda brick: Block(sizes[brick]), 30)
    most = []
    for wanted in ([0, 1], [2], [0], [3], [1]):
        most.extend(cache.bytes for _ in cache.groups(wanted))
    assert most == [20, 25, 10, 100, 10]


def masked(domain: Domain, brick: int, bricks: Bricks, valid: np.ndarray) -> Field:
    x, y, z = bricks.partition.extent(brick)
    part = valid[z[0] : z[1] + 1, y[0] : y[1] + 1, x[0] : x[1] + 1]
    if not part.any():
        return ConstantField(None, domain, ARRAY)
    special = bricks.special.pop(brick)
    field = bricks(brick)
    bricks.special[brick] = special
    return field if part.all() else MaskedField(field, Mask.of(np.ascontiguousarray(part)))


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("overlap", [0.0, 2.5])
def test_gaps_are_where_the_volume_has_them(backend: str, overlap: float, limited: bool) -> None:
    z, y, x = np.indices((NODES, NODES, NODES))
    valid = (x + 2 * y + z > 20) & ~((x < 24) & (z > 18))  # brick 4 has some, another corner has nothing
    valid[20:, :, :20] = False
    bricks = Bricks(partition_of((2, 2, 2), overlap))
    for brick in range(8):
        bricks.special[brick] = lambda domain, brick=brick: masked(domain, brick, bricks, valid)
    field = bricks.field(memory=2 * one_brick() if limited else None, has_gaps=True)
    assert field.has_gaps
    nodes = sample_nodes(field, *native_nodes(field))[..., 0]
    assert (np.isfinite(nodes) == valid).all()
    points = points_for(20_000)
    there = Mask.of(valid).valid(points)
    values, gradients = field.sample_with_gradient(points)
    assert torch.equal(values.isnan()[:, 0], ~there)
    assert torch.equal(field.sample(points).isnan()[:, 0], ~there)
    assert not gradients[~there].any()
    assert gradients.isfinite().all()
    # Where there is something, gaps change nothing but for bricks that take part without having values.
    full = Bricks(bricks.partition).field().sample(points)
    np.testing.assert_allclose(values[there], full[there], atol=1e-4)


def test_constant_bricks(backend: str) -> None:
    bricks = Bricks(partition_of((2, 1, 1), 4.0))
    for brick in range(2):
        bricks.special[brick] = lambda domain, brick=brick: ConstantField((10.0 * brick + 5,), domain, ARRAY)
    field = bricks.field()
    points = torch.tensor([[-1.0, 0, 0], [0.0, 0, 0], [1.0, 0, 0]])
    values, gradients = field.sample_with_gradient(points)
    np.testing.assert_allclose(values[:, 0], [5, 10, 15], atol=1e-5)
    steepest = 1.5 / bricks.partition.blend_width(0) * 10
    np.testing.assert_allclose(gradients[:, 0], [[0, 0, 0], [steepest, 0, 0], [0, 0, 0]], atol=1e-4)
    assert field.bytes_in_memory == 0


def test_a_damaged_brick_is_one_clear_line(backend: str) -> None:
    def fail(domain: Domain) -> Field:
        raise ModelFileDamaged("x.amgsrn", "brick 1: too short")

    bricks = Bricks(partition_of((2, 1, 1)), {1: fail})
    field, left = bricks.field(), torch.tensor([[-0.9, 0.0, 0.0]])
    before = field.sample(left)
    for sample in (field.sample, field.sample_for_display, field.sample_with_gradient):
        with pytest.raises(ModelFileDamaged, match=r"^model 'x.amgsrn' is damaged \(brick 1: too short\); [^\n]*$"):
            sample(points_for(100))  # type: ignore[operator]
    assert torch.equal(field.sample(left), before)


def test_what_is_no_brick_is_refused() -> None:
    bricks = Bricks(partition_of((1, 1, 1), 0.0))
    field = Bricks(bricks.partition, {0: lambda domain: bricks.field()}).field()
    with pytest.raises(TypeError, match="EnsembleField cannot be a brick"):
        field.sample(points_for(1))


@pytest.mark.parametrize(
    ("text", "expected"), [("1000", 1000), ("1.5k", 1500), ("2MiB", 2 << 20), (" 3 G ", 3 * 10**9), ("1tib", 1 << 40)]
)
def test_memory_is_limited_by_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
    monkeypatch.setenv("AMGSRN_MEMORY", text)
    assert memory_limit(torch.device("cpu")) == expected


@pytest.mark.parametrize("text", ["much", "-1", "0", "1 PB", "1e9", "."])
def test_memory_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AMGSRN_MEMORY", text)
    with pytest.raises(InvalidSetting, match=rf"^AMGSRN_MEMORY={text} cannot be used: "):
        Bricks(partition_of((1, 1, 1), 0.0)).field()


def test_half_of_what_is_available_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMGSRN_MEMORY", raising=False)
    if Path("/proc/meminfo").exists():
        available = available_bytes(torch.device("cpu"))
        assert available is not None
        assert 0.1 * available < memory_limit(torch.device("cpu")) < available
    monkeypatch.setattr("amgsrn_core.memory.available_bytes", lambda device: None)
    assert memory_limit(torch.device("cpu")) == 2 << 30


def test_limits_of_control_groups_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from amgsrn_core import memory

    assert memory._of_control_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    assert memory._of_control_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._of_control_group(tmp_path) == 300
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 250\n")
    assert memory._of_control_group(tmp_path) == 550
