"""The line between a run and who started it in this process: progress goes out, the word to stop comes in.

Both are context variables because task runs get a copy of their flow run's context, and because neither a function
nor an event can be a parameter of a run.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from stores.convert import Progress

PROGRESS: ContextVar[Progress | None] = ContextVar("PROGRESS", default=None)
"""Set by who wants to be told how far a run is."""

WATCH: ContextVar["Watch"] = ContextVar("WATCH")
"""Set while a run goes on."""


class Stopped(Exception):
    """The run is ending: this task left its remaining windows to the next run."""


class Watch:
    """Counts the bytes of one run, and can stop it between two windows.

    Parameters
    ----------
    progress
        Called after each window.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._done = 0

    @property
    def done_bytes(self) -> int:
        """Bytes of the windows that were counted."""
        return self._done

    def stop(self) -> None:
        """Let every task end after the window it is at."""
        self._stop.set()

    def windows(self, first: int, end: int) -> Iterator[int]:
        """Windows, or blocks, `first` to `end`, end exclusive, for as long as the run goes on.

        Raises
        ------
        Stopped
            The run was told to stop.
        """
        for window in range(first, end):
            if self._stop.is_set():
                msg = f"stopped before {window} of {end}"
                raise Stopped(msg)
            yield window

    def done(self, window_bytes: int, total_bytes: int) -> None:
        """Count one more window."""
        with self._guard:
            self._done += window_bytes
            if self._progress is not None:
                self._progress(self._done, total_bytes)


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the run in this block; tasks that are still at work when it ends, for whatever reason, end soon."""
    watch = Watch(PROGRESS.get())
    token = WATCH.set(watch)
    try:
        yield watch
    finally:
        watch.stop()
        WATCH.reset(token)
