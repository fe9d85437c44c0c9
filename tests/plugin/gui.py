# SPDX-License-Identifier: BSD-3-Clause
"""Drives ParaView's window with a real mouse and keyboard (xdotool) and looks at its pixels.

A style sheet gives the widgets that are clicked colours of their own, so that they are found wherever they are.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from harness import ParaView, plugin_path, stop, wait_for

Color = tuple[int, int, int]

APPLY: Color = (255, 0, 254)
REPRESENTATION: Color = (0, 254, 127)
DIALOG_OK: Color = (254, 127, 0)
LOAD_PLUGIN: Color = (127, 0, 254)

WINDOW = (1200, 860)
VIEW = (800, 600)

_STYLE = """
QPushButton#Accept:enabled {{ border: 0px; background-color: rgb{apply}; color: black; }}
pqDisplayRepresentationWidget QComboBox:enabled {{ border: 0px; background-color: rgb{representation}; color: black; }}
pqFileDialog QPushButton#OK:enabled {{ border: 0px; background-color: rgb{ok}; color: black; }}
QPushButton#loadLocal:enabled {{ border: 0px; background-color: rgb{load}; color: black; }}
"""


class Window:
    """The main window of a running ParaView."""

    def __init__(self, paraview: ParaView, process: subprocess.Popen[Any], log: Path) -> None:
        self.paraview = paraview
        self.process = process
        self.log = log
        title = r"^ParaView [0-9]"
        self.id = wait_for("ParaView's window", lambda: self.alive() and self.search(title), 60.0)
        self.xdotool("windowsize", self.id, WINDOW[0], WINDOW[1])
        self.xdotool("windowmove", self.id, 0, 0)
        box = self._settled_view()
        grown = (WINDOW[0] + VIEW[0] - (box[2] - box[0]), WINDOW[1] + VIEW[1] - (box[3] - box[1]))
        self.xdotool("windowsize", self.id, *grown)
        self.view = self._settled_view()

    def _settled_view(self) -> tuple[int, int, int, int]:
        """The box of the empty view when the layout no longer moves."""
        last = None
        while True:
            now = wait_for("a render view", self._background_box, 60.0)
            if now == last:
                return now
            last = now
            time.sleep(1.0)

    def alive(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("ParaView ended:\n" + self.output())
        return True

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def xdotool(self, *arguments: object) -> str:
        done = subprocess.run(
            ["xdotool", *map(str, arguments)],
            env=self.paraview.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip()

    def search(self, title: str) -> str | None:
        """Identifier of a visible window with that title, a regular expression."""
        found = self.xdotool("search", "--onlyvisible", "--name", title).split()
        return found[-1] if found else None

    def screen(self) -> np.ndarray:
        """The whole screen: uint8 (height, width, 3)."""
        done = subprocess.run(
            ["import", "-window", "root", "-depth", "8", "ppm:-"],
            env=self.paraview.environment(),
            capture_output=True,
            check=True,
            timeout=60,
        )
        _, size, _, pixels = done.stdout.split(b"\n", 3)
        width, height = map(int, size.split())
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    def view_picture(self) -> np.ndarray:
        """The inside of the render view, without the corner that shows the axes: float64."""
        left, top, right, bottom = self.view
        return self.screen()[top + 5 : bottom - 5, left + 5 : right - 5].astype(np.float64)

    def click(self, x: int, y: int) -> None:
        self.xdotool("mousemove", x, y)
        time.sleep(0.1)
        self.xdotool("click", 1)

    def click_color(self, color: Color, timeout: float = 30.0) -> None:
        """Click the widget that the style sheet painted in that colour."""
        self.click(*wait_for(f"a widget of colour {color}", lambda: self._find(color), timeout))

    def has_color(self, color: Color) -> bool:
        return self._find(color) is not None

    def type_text(self, text: str) -> None:
        self.xdotool("type", "--delay", "5", text)

    def key(self, *names: str) -> None:
        self.xdotool("key", *names)

    def activate(self, window: str | None = None) -> None:
        self.xdotool("windowactivate", "--sync", window or self.id)
        time.sleep(0.2)

    def drag(self, dx: int, dy: int, steps: int = 12, during: Callable[[], None] | None = None) -> None:
        """Turn the camera: press in the middle of the view, move, call `during`, release."""
        left, top, right, bottom = self.view
        x, y = (left + right) // 2, (top + bottom) // 2
        self.xdotool("mousemove", x, y, "mousedown", 1)
        for step in range(1, steps + 1):
            self.xdotool("mousemove", x + dx * step // steps, y + dy * step // steps)
            time.sleep(0.03)
        if during:
            during()
        self.xdotool("mouseup", 1)

    def load_plugin_in_manager(self, path: Path) -> None:
        """Tools > Manage Plugins > Load New."""
        self.activate()
        self.key("alt+t")
        time.sleep(0.5)
        self.key("Down", "Down", "Down")  # past what is disabled, to Manage Plugins
        time.sleep(0.2)
        self.key("Return")
        manager = wait_for("the plugin manager", lambda: self.search("Plugin Manager"))
        self.activate(manager)
        self.click_color(LOAD_PLUGIN)
        self._choose_file(path)
        time.sleep(1.0)
        self.activate(manager)
        self.key("Escape")
        wait_for("the plugin manager to close", lambda: not self.search("Plugin Manager"))

    def open_file(self, path: Path) -> None:
        """File > Open."""
        self.activate()
        self.key("ctrl+o")
        self._choose_file(path)
        wait_for("Apply", lambda: self.has_color(APPLY), 60.0)

    def _choose_file(self, path: Path) -> None:
        dialog = wait_for("a file dialog", lambda: self.search("Open File") or self.search("Load Plugin"))
        self.activate(dialog)
        self.type_text(str(path))
        self.click_color(DIALOG_OK)
        wait_for("the file dialog to close", lambda: not self.search("Open File") and not self.search("Load Plugin"))

    def apply(self) -> None:
        self.activate()
        self.click_color(APPLY)
        wait_for("Apply to be done", lambda: not self.has_color(APPLY), 60.0)

    def choose_representation(self, name: str) -> None:
        """In the combo box of the tool bar: with the mouse, and the list's search by typing."""
        self.click_color(REPRESENTATION)
        time.sleep(0.7)
        self.type_text(name)
        time.sleep(0.2)
        self.key("Return")

    def wait_for_change(self, before: np.ndarray, timeout: float = 60.0) -> np.ndarray:
        """The first view picture that differs clearly from an earlier one."""

        def changed() -> list[np.ndarray]:
            self.alive()
            now = self.view_picture()
            return [now] if np.abs(now - before).max(axis=2).mean() > 1.0 else []

        return wait_for("the view to change", changed, timeout, 0.02)[0]

    def wait_for_rest(self, quiet: float = 2.0, timeout: float = 180.0) -> np.ndarray:
        """The view picture when it has not changed for a while."""
        last, since = self.view_picture(), time.monotonic()
        end = time.monotonic() + timeout
        while time.monotonic() - since < quiet:
            self.alive()
            time.sleep(0.2)
            now = self.view_picture()
            if not np.array_equal(now, last):
                last, since = now, time.monotonic()
            if time.monotonic() > end:
                raise TimeoutError(f"the view still changes after {timeout:g} s")
        return last

    def measure_event_loop(self, seconds: float) -> subprocess.Popen[str]:
        """Start measuring; communicate() gives the delays as JSON."""
        script = Path(__file__).with_name("event_loop.py")
        return subprocess.Popen(
            [sys.executable, str(script), self.paraview.display, self.id, str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _find(self, color: Color) -> tuple[int, int] | None:
        """Centre of the uppermost widget of a colour."""
        rows, columns = np.nonzero((self.screen() == np.array(color, np.uint8)).all(axis=2))
        if len(rows) < 40:
            return None
        near = rows < rows[0] + 12
        return int(np.median(columns[near])), int(rows[0] + 8)

    def _background_box(self) -> tuple[int, int, int, int] | None:
        """Where the empty render view is: the box of its background colour."""
        rows, columns = np.nonzero((self.screen() == np.array((82, 87, 110), np.uint8)).all(axis=2))
        if len(rows) < 50_000:
            return None
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@contextmanager
def window_manager(display: str, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        ["openbox"], env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        stop(process)


@contextmanager
def paraview_window(
    paraview: ParaView, *arguments: str, plugin: bool = True, variables: dict[str, str] | None = None
) -> Iterator[Window]:
    """ParaView with default settings; with the plugin loaded by a start-up option unless `plugin` is False."""
    style = paraview.folder / "test.qss"
    style.write_text(
        _STYLE.format(apply=APPLY, representation=REPRESENTATION, ok=DIALOG_OK, load=LOAD_PLUGIN), encoding="utf-8"
    )
    path = plugin_path()
    assert path is not None
    environment = {**paraview.environment(), **(variables or {})}
    command = ["paraview", "--dr", *arguments, "-stylesheet", str(style)]
    if plugin:
        environment["PV_PLUGIN_PATH"] = str(path.parent)
        command.append(f"--plugins={path.stem}")
    log = paraview.folder / "paraview.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=paraview.folder,
        )
        try:
            yield Window(paraview, process, log)
        finally:
            stop(process)
