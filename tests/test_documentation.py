"""What the documentation names exists: files, make targets, commands and their options."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"^#+(.*)$", text, re.M)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in headings


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 500_000, picture.name
        assert picture.name in TEXT, picture.name


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", TEXT, re.M))
    assert {"setup", "demo", "test"} <= named
    assert named <= targets


def test_trainer_commands_have_the_options_that_are_named():
    named: dict[str, set[str]] = {}
    for command, rest in re.findall(r"-m trainer ([a-z]+)\b([^\n`]*)", TEXT):
        named.setdefault(command, set()).update(re.findall(r"--[a-z-]+", rest.split("#")[0]))
    assert {"fit", "evaluate", "info", "export", "render"} <= set(named)
    for command, options in named.items():
        shown = subprocess.run(
            [sys.executable, "-m", "trainer", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, f"there is no command {command}"
        assert options <= set(re.findall(r"--[a-z-]+", shown.stdout)), command


def test_presets_are_those_of_the_trainer():
    from trainer.presets import PRESETS

    text = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^ *\| `(\w+)` \|", text, re.M)) == set(PRESETS)
