# SPDX-License-Identifier: BSD-3-Clause
"""The command line: arguments in, exit code out.

Messages go to stderr, results to stdout. Exit codes: 0 done; 2 what the user gave is wrong (one line); 1 a defect, or a
resource was lost; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType, ModuleType
from typing import NoReturn

from .commands import evaluate, export, fit, info, render

_COMMANDS: tuple[ModuleType, ...] = (fit, evaluate, info, export, render)

DONE, DEFECT, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; `argv` without the program's name."""
    # Threads that wait should sleep: by default they burn the CPU time of whatever else runs. Only heeded before
    # PyTorch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    arguments = _parser().parse_args(argv)
    try:
        signal.signal(signal.SIGTERM, _terminate)
        return arguments.run(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DEFECT
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    """One line for what the user can put right or can do nothing about; everything for a defect."""
    from amgsrn_core.errors import Aborted, AmgsrnError

    from .errors import FitInterrupted, ResourceLost

    if isinstance(error, (Aborted, FitInterrupted)):
        return _fail(str(error), INTERRUPTED)
    if isinstance(error, ResourceLost):
        return _fail(f"error: {error}", DEFECT)
    if isinstance(error, AmgsrnError):
        return _fail(f"error: {error}", WRONG_INPUT)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _fail(
            f"error: out of memory ({str(error)[:200]}); close other programs, or use a bigger machine", DEFECT
        )
    if isinstance(error, OSError):
        where = f" '{error.filename}'" if error.filename else ""
        return _fail(f"error: {error.strerror or error}{where}; the machine refused, try again", DEFECT)
    traceback.print_exception(error)
    return _fail("error: this is a defect; please report it with the lines above", DEFECT)


def _fail(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr, flush=True)
    return code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer", description="Learn volumes as small neural networks, and make use of them."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
