# SPDX-License-Identifier: BSD-3-Clause
"""What is shown while bricks are learned."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from trainer.ensemble import display
from trainer.ensemble.display import BrickDisplay
from trainer.ensemble.journal import Journal
from trainer.errors import OutputNotWritable


@pytest.fixture
def screen(monkeypatch):
    """What is printed, to be made a terminal or not."""

    def make(terminal):
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=100)
        monkeypatch.setattr(display, "console", lambda: console)
        return file

    return make


def shown(bricks):
    bricks.started(3, "")
    bricks.progress(3, "process 7", 0.5, 1e-4)
    bricks.started(4, "process 8")
    bricks.ended(4, finished=True, psnr_db=41.23)
    bricks.started(5, "process 8")
    bricks.ended(5, finished=False)
    bricks.refresh()


def test_a_terminal_shows_a_table(screen):
    file = screen(True)
    with BrickDisplay(9) as bricks:
        shown(bricks)
    text = file.getvalue()
    assert "bricks: 1 of 9 done, 1 running, 7 queued, 41.2 dB so far" in text
    assert "about 40.0 dB" in text
    assert "process 7" in text


def test_elsewhere_there_are_lines_now_and_then(screen, monkeypatch):
    file = screen(False)
    with BrickDisplay(9) as bricks:
        shown(bricks)
        assert file.getvalue() == ""
        monkeypatch.setattr(display, "_LINE_SECONDS", 0.0)
        bricks.refresh()
    assert file.getvalue().startswith("bricks: 1 of 9 done, 1 running, 7 queued, 41.2 dB so far")
    assert len(file.getvalue().splitlines()) == 1


def test_a_journal_is_appended_to(tmp_path):
    for event in ("begun", "ended"):
        journal = Journal(tmp_path / "log")
        journal.write(event, bricks=[1, 2, 3])
        journal.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begun", "ended"]
    assert lines[0]["bricks"] == [1, 2, 3]
    with pytest.raises(OutputNotWritable, match=r"(?i)no such"):
        Journal(tmp_path / "nowhere" / "log")
