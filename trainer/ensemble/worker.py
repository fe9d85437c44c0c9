# SPDX-License-Identifier: BSD-3-Clause
"""A process that learns bricks, one after the other, for whoever started it: `python -m trainer.ensemble.worker FD`,
where FD is its end of a connection.

It gets lists of `BrickTask`s and gives `Event`s. It ends when the other end of the connection is closed, even in the middle of
a fit, so that nobody's work goes on unseen.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from amgsrn_core.errors import AmgsrnError

from ..errors import FitInterrupted
from ..interrupts import Interrupts
from .halos import Halos
from .job import fit_brick
from .parts import brick_model
from .runner import Event
from .task import BrickTask
from .together import fit_together

# Seconds between two reports of progress.
_REPORT_EVERY = 0.5
# Seconds between two looks at whether to stop, while there is nothing to do.
_LOOK_EVERY = 0.5


def serve(connection: Connection, folder: Path) -> None:
    """Learn bricks into a folder of parts until the connection ends or a signal asks to stop."""
    _end_with_the_other_side(connection.fileno())
    with Interrupts() as interrupts:
        while not interrupts.requested:
            if not connection.poll(_LOOK_EVERY):
                continue
            try:
                tasks: list[BrickTask] = connection.recv()
            except EOFError:
                return
            for event in _done(tasks, folder, connection, interrupts):
                connection.send(event)


def _done(tasks: list[BrickTask], folder: Path, connection: Connection, interrupts: Interrupts) -> list[Event]:
    """Learn some bricks; what there is to tell in the end, nothing where that was interrupted."""
    told = time.monotonic()

    def watch(fraction: float, loss: float | None) -> None:
        nonlocal told
        if time.monotonic() - told >= _REPORT_EVERY:
            told = time.monotonic()
            for task in tasks:
                connection.send(Event("progress", task.brick, fraction=fraction, loss=loss))

    def when_read(brick: int) -> None:
        connection.send(Event("read", brick))

    halos = Halos(folder, tasks[0].partition)
    outputs = [brick_model(folder, task.brick) for task in tasks]
    try:
        if len(tasks) > 1:
            summaries = fit_together(tasks, outputs, interrupts, halos, when_read, watch)
        else:
            summaries = [fit_brick(tasks[0], outputs[0], interrupts, halos, when_read, watch)]
    except FitInterrupted:
        return []
    except Exception as error:
        return [Event("failed", tasks[0].brick, error=_sendable(error))]
    return [Event("done", summary.brick, summary=summary) for summary in summaries]


def _sendable(error: Exception) -> Exception:
    """The error as the other side can read it: errors whose classes take other arguments than their text cannot be
    pickled."""
    if isinstance(error, AmgsrnError):
        return AmgsrnError(str(error))
    # Where it happened is known here only.
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        other = RuntimeError(f"{type(error).__name__}: {error}")
        other.add_note(traceback.format_exc())
        return other
    return error


def _end_with_the_other_side(connection: int) -> None:
    """End this process, whatever it does, as soon as the other end of its connection is closed."""
    poll = select.poll()
    poll.register(connection, 0)

    def watch() -> None:
        # Without events to wait for, only a hang-up is reported.
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve(Connection(int(sys.argv[1])), Path(sys.argv[2]))
