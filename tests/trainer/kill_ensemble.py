# SPDX-License-Identifier: BSD-3-Clause
"""Kills runs of an ensemble again and again, at any moment, and compares what comes out: for a night, not for every day.

    python tests/trainer/kill_ensemble.py [KILLS] [SEED]

Each round kills either the run with its process group left to itself, or one of its workers, after a random time, until the
model is finished; the model has to have the same bits as an undisturbed one. `test_ensemble_fit.py` does it once.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from brick_runs import SETTINGS, same, workers_of, write_volume  # noqa: E402


def main(kills: int, seed: int) -> int:
    """Kill so many times in all; 0 if every model was right."""
    chance, done, models = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        volume, reference = write_volume(Path(folder) / "volume.nc"), Path(folder) / "reference.amgsrn"
        assert start(volume, reference).wait() == 0
        while done < kills:
            output = Path(folder) / f"model{models}.amgsrn"
            while True:
                process = start(volume, output)
                end = time.monotonic() + chance.uniform(1.0, 40.0)
                while process.poll() is None and time.monotonic() < end:
                    time.sleep(0.05)
                if process.poll() is not None:
                    break
                workers = workers_of(process.pid)
                victim = chance.choice(["run", *workers])
                print(f"kill {done}: {'the run' if victim == 'run' else f'worker {victim.pid}'}", flush=True)
                done += 1
                if victim == "run":
                    process.kill()
                    process.wait()
                    continue
                victim.kill()
                if process.wait() == 0:
                    break
            if process.returncode != 0 or not same(reference, output):
                print(f"model {models}: exit code {process.returncode}, or other bits")
                return 1
            left = [path.name for path in Path(folder).iterdir() if path.name.startswith(output.name + ".")]
            if left:
                print(f"model {models}: {left} left behind")
                return 1
            print(f"model {models}: the same bits", flush=True)
            models += 1
    print(f"{done} kills, {models} models, all the same")
    return 0


def start(volume: Path, output: Path) -> subprocess.Popen[bytes]:
    """A run in the background."""
    command = [sys.executable, "-m", "trainer", "fit", volume, "-o", output, *SETTINGS, "--checkpoint-interval", "0.2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([str(part) for part in command], env=environment, **quiet)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    raise SystemExit(main(*(numbers + [20, 0][len(numbers) :])))
