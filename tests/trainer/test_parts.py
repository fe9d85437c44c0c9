# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amgsrn_core.partition import Partition
from trainer.ensemble.parts import Parts
from trainer.errors import CheckpointMismatch, FitInterrupted, InvalidOption, OutputBusy, OutputNotWritable
from trainer.locks import locked
from trainer.parts import PartsFolder, identity_before, refuse_parts

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = {"seed": 0, "shape": (3, 4, 5)}

HOLD = """
import sys, time
from pathlib import Path
from trainer.locks import locked
from trainer.parts import PartsFolder, identity_before, refuse_parts
with PartsFolder(Path(sys.argv[1]), {"seed": 0, "shape": [3, 4, 5]}):
    print("here", flush=True)
    time.sleep(60)
"""


def test_parts_outlive_a_run_and_are_removed_at_the_end(tmp_path: Path) -> None:
    output = tmp_path / "m.amgsrn"
    with PartsFolder(output, IDENTITY) as parts:
        parts.part("step-0001").write_text("done")
    with PartsFolder(output, IDENTITY) as parts:
        assert parts.part("step-0001").read_text() == "done"
        assert parts.path == tmp_path / "m.amgsrn.parts"
        parts.remove()
    assert not list(tmp_path.iterdir())


def test_parts_of_another_fit_are_kept_unless_asked(tmp_path: Path) -> None:
    output = tmp_path / "m.amgsrn"
    with PartsFolder(output, IDENTITY) as parts:
        parts.part("old").write_text("done")
    other = {**IDENTITY, "seed": 1}
    with pytest.raises(CheckpointMismatch, match="seed 0, not 1"), PartsFolder(output, other):
        pass
    assert (output.with_name("m.amgsrn.parts") / "old").exists()
    with PartsFolder(output, other, overwrite=True) as parts:
        assert not parts.part("old").exists()
    with PartsFolder(output, other):
        pass


def end_with(error: Exception, output: Path, *names: str) -> None:
    """A run that makes files of these names among its parts, and ends with an error."""
    with PartsFolder(output, {"bricks": [9, 9, 9]}) as parts:
        for name in names:
            parts.part(name).write_text("{}")
        raise error


def test_a_run_that_was_refused_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    output = tmp_path / "m.amgsrn"
    with pytest.raises(InvalidOption):
        end_with(InvalidOption("--bricks 9,9,9 makes no sense"), output, "plan.json", "halo-00001-x.npy")
    assert not list(tmp_path.iterdir())
    with PartsFolder(output, {"bricks": [2, 2, 2]}):
        pass


def test_a_run_that_has_removed_its_folder_may_still_be_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption), PartsFolder(tmp_path / "m.amgsrn", {}) as parts:
        remove_and_refuse(parts)
    assert not list(tmp_path.iterdir())


def remove_and_refuse(parts: PartsFolder) -> None:
    parts.remove()
    raise InvalidOption("no value at all")


@pytest.mark.parametrize("error", [InvalidOption("no"), FitInterrupted("interrupted")])
def test_a_run_that_ends_early_keeps_its_parts(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)):
        end_with(error, tmp_path / "m.amgsrn", "brick-00000.amgsrn.checkpoint")
    assert (tmp_path / "m.amgsrn.parts" / "brick-00000.amgsrn.checkpoint").exists()


@pytest.mark.parametrize("content", ["", "[1]", "nothing", "{}", '{"identity": 7}'])
def test_folders_of_something_else_are_left_alone(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "m.amgsrn.parts"
    folder.mkdir()
    (folder / ("identity.json" if content else "mine.txt")).write_text(content)
    with pytest.raises(CheckpointMismatch), PartsFolder(tmp_path / "m.amgsrn", IDENTITY):
        pass


def test_a_second_run_is_told_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    output = tmp_path / "m.amgsrn"
    command = [sys.executable, "-c", HOLD, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "here\n"
        with pytest.raises(OutputBusy, match=f"process {first.pid} on"), PartsFolder(output, IDENTITY):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
    with PartsFolder(output, IDENTITY):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OutputNotWritable), PartsFolder(tmp_path / "none" / "m.amgsrn", IDENTITY):
        pass


def test_a_run_that_was_killed_before_it_said_whose_the_parts_are_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "m.amgsrn.parts"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / ".identity.json.abc.part").touch()
    with PartsFolder(tmp_path / "m.amgsrn", IDENTITY):
        pass
    assert identity_before(tmp_path / "m.amgsrn") == {"seed": 0, "shape": [3, 4, 5]}


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"identity": 7}'])
def test_nothing_is_known_of_what_cannot_be_read(tmp_path: Path, content: str) -> None:
    output = tmp_path / "m.amgsrn"
    assert identity_before(output) == {}
    (tmp_path / "m.amgsrn.parts").mkdir()
    (tmp_path / "m.amgsrn.parts" / "identity.json").write_text(content)
    output.write_text(content)
    assert identity_before(output) == {}


def test_parts_are_in_the_way_of_a_fit_without_any(tmp_path: Path) -> None:
    output = tmp_path / "m.amgsrn"
    refuse_parts(output, overwrite=False)
    with PartsFolder(output, IDENTITY) as parts:
        parts.part("step-0001").write_text("done")
    with pytest.raises(CheckpointMismatch, match="one in several parts"):
        refuse_parts(output, overwrite=False)
    with PartsFolder(output, IDENTITY), pytest.raises(OutputBusy):
        refuse_parts(output, overwrite=True)
    refuse_parts(output, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_the_plan_of_an_ensemble_is_kept(tmp_path: Path) -> None:
    partition = Partition.equal_split((40, 30, 20), (2, 2, 1), (1.0, 1.0, 0.0))
    with Parts(tmp_path / "m.amgsrn", IDENTITY) as parts:
        assert parts.plan() is None
        parts.settle(partition, {"spans": [2.0]})
    with Parts(tmp_path / "m.amgsrn", IDENTITY) as parts:
        assert parts.plan() == (partition, {"spans": [2.0]})
        parts.part("plan.json").write_text('{"partition": {}}')
        parts.model(0).touch()
        assert parts.plan() is None
        parts.settle(partition, {})
        assert not parts.model(0).exists(), "it may be another brick's"


def test_a_full_disk_does_not_keep_a_run_from_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainer.locks.os.write", full)
    lock = locked(tmp_path / "lock", tmp_path / "m.amgsrn")
    os.close(lock)
