# SPDX-License-Identifier: BSD-3-Clause
"""Runs the real ParaView programs as subprocesses on a virtual display of the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

SCRIPTS = Path(__file__).parent / "scripts"
ROOT = Path(__file__).resolve().parents[2]

_T = TypeVar("_T")


def missing_reason() -> str | None:
    """Why these tests cannot run here, None if they can."""
    for program in ("pvpython", "pvserver", "paraview", "Xvfb"):
        if shutil.which(program) is None:
            return f"{program} is not installed (see packaging/debian12-run.txt)"
    if plugin_path() is None:
        return "the plugin is not built (build/plugin-path.txt is missing): run 'make setup'"
    return None


def plugin_path() -> Path | None:
    """The plugin file that the last build wrote down."""
    try:
        path = Path((ROOT / "build" / "plugin-path.txt").read_text(encoding="utf-8").strip())
    except OSError:
        return None
    return path if path.is_file() else None


def wait_for(what: str, check: Callable[[], _T], timeout: float = 90.0, interval: float = 0.1) -> _T:
    """The first true result of `check`."""
    end = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process that the tests started, and the group it leads."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


@contextmanager
def virtual_display(width: int = 1400, height: int = 1000) -> Iterator[str]:
    """An X server of our own; gives its name for DISPLAY. It picks a free number by itself, unlike xvfb-run."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        command, pass_fds=[write], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise RuntimeError("Xvfb does not start")
        yield f":{number}"
    finally:
        stop(server)


def environment(display: str, home: Path) -> dict[str, str]:
    """A user without settings: nothing of the real one's ParaView is read or written."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PV_", "PARAVIEW", "PYTHON"))}
    runtime = home / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return {**kept, "DISPLAY": display, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}


@dataclass
class Run:
    """What a script printed. Lines 'RESULT {json}' are collected in `results`."""

    code: int
    output: str
    results: dict[str, Any] = field(default_factory=dict)

    def errors(self) -> list[str]:
        """Lines of error messages."""
        return [line for line in self.output.splitlines() if "ERROR" in line or "Traceback" in line]


@dataclass
class ParaView:
    """Starts ParaView programs with the plugin's path in NEURAL_PLUGIN and a folder for pictures in NEURAL_OUT."""

    display: str
    folder: Path

    def environment(self) -> dict[str, str]:
        return {
            **environment(self.display, self.folder / "home"),
            "NEURAL_PLUGIN": str(plugin_path()),
            "NEURAL_OUT": str(self.folder),
        }

    def pvpython(
        self,
        script: str,
        *arguments: object,
        timeout: float = 300.0,
        variables: dict[str, str] | None = None,
        program: Sequence[str] = ("pvpython",),
    ) -> Run:
        """Run scripts/<script>.py to its end, with these environment variables besides."""
        command = [*program, str(SCRIPTS / f"{script}.py"), *map(str, arguments)]
        process = subprocess.Popen(
            command,
            env={**self.environment(), **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=self.folder,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            stop(process)
        run = Run(process.returncode, output)
        for line in output.splitlines():
            if line.startswith("RESULT "):
                run.results.update(json.loads(line[7:]))
        return run

    @contextmanager
    def pvserver(self) -> Iterator[int]:
        """A server with the plugin on a free port, to be reached through the loopback interface; gives the port."""
        port = free_port()
        plugin = plugin_path()
        assert plugin is not None
        log = (self.folder / "pvserver.log").open("w")
        command = ["pvserver", f"--server-port={port}", f"--plugins={plugin.stem}"]
        process = subprocess.Popen(
            command,
            env={**self.environment(), "PV_PLUGIN_PATH": str(plugin.parent)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=self.folder,
        )
        try:
            wait_for("pvserver", lambda: "Accepting connection" in self.server_log() or process.poll() is not None)
            assert process.poll() is None, self.server_log()
            yield port
        finally:
            stop(process)
            log.close()

    def server_log(self) -> str:
        return (self.folder / "pvserver.log").read_text(errors="replace")

    def picture(self, name: str) -> np.ndarray:
        """A picture that a script saved: float64 (height, width, 3 or 4) in 0..255."""
        with Image.open(self.folder / f"{name}.png") as image:
            return np.asarray(image, dtype=np.float64)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures, dB."""
    error = float(np.mean((a[..., :3] - b[..., :3]) ** 2))
    return float("inf") if error == 0.0 else float(10.0 * np.log10(255.0**2 / error))
