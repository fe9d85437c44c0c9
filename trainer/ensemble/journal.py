# SPDX-License-Identifier: BSD-3-Clause
"""What happens in a run, for machines to follow: JSON lines."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from ..errors import OutputNotWritable


class Journal:
    """Appends one JSON object per event to a file: `time` (seconds since 1970), `event` (begun, started, done, failed,
    lost, assembled, ended), and what there is to say.

    Args:
        path: the file; None for none at all.

    Raises:
        OutputNotWritable: it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8")
            except OSError as error:
                raise OutputNotWritable(path, error.strerror or str(error)) from error

    def write(self, event: str, **about: Any) -> None:
        """Note an event. A full disk does not end the run."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps({"time": round(time.time(), 3), "event": event, **about}) + "\n")
            self._file.flush()
        except OSError:
            self.close()
            self._file = None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            # Closing writes what is left, which a full disk does not take either.
            with contextlib.suppress(OSError):
                self._file.close()
