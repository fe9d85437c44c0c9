"""What the set-up scripts decide, with programs in place of the system's that only note how they were called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The programs that a bare Debian has; everything else is a stand-in.
PLAIN = [
    "awk",
    "bash",
    "cat",
    "comm",
    "cut",
    "dirname",
    "env",
    "grep",
    "mkdir",
    "sed",
    "sha256sum",
    "sort",
    "tail",
    "tr",
]


def is_debian_12() -> bool:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return False
    return "\nID=debian\n" in text and 'VERSION_ID="12"' in text


class Machine:
    """A checkout with three packages to install, on a machine whose package programs are stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.programs = folder / "programs"
        self.calls = folder / "calls"
        (self.checkout / "packaging").mkdir(parents=True)
        (self.checkout / "build").mkdir()
        self.programs.mkdir()
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        lists = {"build": "# compiler\ng++\n\ncmake # builds\n", "run": "paraview\n"}
        for name, text in lists.items():
            (self.checkout / "packaging" / f"debian12-{name}.txt").write_text(text, encoding="utf-8")
        for name in PLAIN:
            (self.programs / name).symlink_to(shutil.which(name))
        self.installed("g++", "cmake", "paraview")
        self.user(0)
        self.program("dpkg", "exit 0")
        self.program("apt-cache", 'for p in "${@:2}"; do echo "$p:"; echo "  Candidate: 1.0"; done')
        self.program("apt-get", self.noting("apt-get"))

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!{shutil.which('bash')}\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def noting(self, name: str, then: str = "exit 0") -> str:
        """A script that notes its call, but not the question about sizes."""
        return f'[[ " $* " == *--assume-no* ]] && exit 1\necho "{name} $*" >> {self.calls}\n{then}'

    def installed(self, *packages: str) -> None:
        lines = "".join(f"echo '{package} installed'\n" for package in packages)
        self.program("dpkg-query", lines + "echo 'removed-one config-files'")

    def user(self, number: int) -> None:
        self.program("id", f"echo {number}")

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / "scripts" / script],
            env={"PATH": str(self.programs), "HOME": os.environ.get("HOME", "/"), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def installs(self) -> list[str]:
        """The calls that install or update, without their options."""
        if not self.calls.exists():
            return []
        calls = self.calls.read_text(encoding="utf-8").splitlines()
        return [
            " ".join(word for word in call.split() if not word.startswith("-") and "::" not in word) for call in calls
        ]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


on_debian_12 = pytest.mark.skipif(not is_debian_12(), reason="installs packages on Debian 12 only")


def test_nothing_is_done_when_all_is_installed(machine):
    done = machine.run("install_system_packages.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.installs() == []


@on_debian_12
def test_only_what_is_missing_is_installed(machine):
    machine.installed("cmake", "removed-one")
    done = machine.run("install_system_packages.sh")
    assert done.returncode == 0, done.stderr
    assert "g++ paraview" in done.stdout
    assert machine.installs() == ["apt-get install g++ paraview"]


@on_debian_12
def test_lists_are_updated_when_a_package_is_unknown(machine):
    machine.installed("cmake", "g++")
    machine.program("apt-cache", "exit 0")
    done = machine.run("install_system_packages.sh")
    assert done.returncode == 0, done.stderr
    assert machine.installs() == ["apt-get update", "apt-get install paraview"]


@on_debian_12
def test_lists_are_updated_when_an_installation_fails(machine):
    machine.installed("cmake", "g++")
    mark = f"{machine.calls}.failed"
    once = f"[[ $* == *install* && ! -e {mark} ]] && {{ echo > {mark}; exit 100; }}; exit 0"
    machine.program("apt-get", machine.noting("apt-get", then=once))
    done = machine.run("install_system_packages.sh")
    assert done.returncode == 0, done.stderr
    assert machine.installs() == ["apt-get install paraview", "apt-get update", "apt-get install paraview"]


@on_debian_12
def test_a_failed_installation_is_shown(machine):
    machine.installed("cmake", "g++")
    fails = "[[ $* == *install* ]] || exit 0; echo 'E: disk full'; exit 100"
    machine.program("apt-get", machine.noting("apt-get", then=fails))
    done = machine.run("install_system_packages.sh")
    assert done.returncode == 1
    assert "E: disk full" in done.stderr
    assert "system-packages.log" in done.stderr


@on_debian_12
def test_who_may_not_install_is_told_what_to_ask_for(machine):
    machine.installed("cmake")
    machine.user(1000)
    done = machine.run("install_system_packages.sh")
    assert done.returncode == 2
    assert "apt-get install --no-install-recommends g++ paraview" in done.stderr
    assert machine.installs() == []


@on_debian_12
def test_other_users_install_through_sudo(machine):
    machine.installed("cmake", "paraview")
    machine.user(1000)
    machine.program("sudo", f'[ "$1" = -n ] && exit 0; echo sudo >> {machine.calls}; exec "$@"')
    done = machine.run("install_system_packages.sh")
    assert done.returncode == 0, done.stderr
    assert machine.installs()[-2:] == ["sudo", "apt-get install g++"]


def test_without_apt_the_packages_are_named(machine):
    for name in ("apt-get", "dpkg-query"):
        (machine.programs / name).unlink()
    done = machine.run("install_system_packages.sh")
    assert done.returncode == 2
    assert "cmake g++ paraview" in done.stderr
    assert "SKIP_SYSTEM_PACKAGES=1" in done.stderr


def test_packages_can_be_left_alone(machine):
    machine.installed()
    done = machine.run("install_system_packages.sh", SKIP_SYSTEM_PACKAGES="1")
    assert (done.returncode, done.stdout) == (0, "")
    assert machine.installs() == []


def test_without_paraview_the_environment_is_not_made(machine):
    done = machine.run("make_venv.sh")
    assert done.returncode == 2
    assert "PVPYTHON=" in done.stderr
    assert not (machine.checkout / ".venv").exists()


def test_plugin_path_is_printed_alone_or_told_how_to_get_it(machine):
    done = machine.run("plugin_path.sh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "make setup" in done.stderr
    (machine.checkout / "build" / "plugin-path.txt").write_text("/somewhere/NeuralVolume.so\n", encoding="utf-8")
    done = machine.run("plugin_path.sh")
    assert (done.returncode, done.stdout) == (0, "/somewhere/NeuralVolume.so\n")
