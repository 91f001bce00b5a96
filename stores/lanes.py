"""Windows shared out between threads."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

# A signal that comes while a thread goes to wait for another is seen by Python only after that wait.
_SECONDS_TO_A_SIGNAL = 0.2

Lane = Callable[[Iterator[int], Callable[[int], None]], None]
"""One thread's work: it takes window after window, and calls back with each one that is finished."""


def work_off(windows: Iterable[int], lane: Lane, threads: int, done: Callable[[int], None]) -> None:
    """Work on each window once, in about this order; every thread runs one `lane`.

    After a failure, or Ctrl-C, no thread is given a further window, and the fault is raised when all have ended.

    Parameters
    ----------
    windows
        The windows, taken one by one.
    lane
        Run once by each thread.
    threads
        How many.
    done
        Called with each finished window, never by two threads at a time.
    """
    queue = iter(windows)
    guard = threading.Lock()
    stop = threading.Event()

    def take() -> Iterator[int]:
        while not stop.is_set():
            with guard:
                window = next(queue, None)
            if window is None:
                return
            yield window

    def finish(window: int) -> None:
        with guard:
            done(window)

    def run() -> None:
        try:
            lane(take(), finish)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(threads) as pool:
        ends: list[Future[None]] = []
        try:
            ends.extend(pool.submit(run) for _ in range(threads))
            for end in ends:
                while not end.done():
                    wait([end], _SECONDS_TO_A_SIGNAL)
                end.result()
        except BaseException:
            stop.set()
            _wait_for(ends)
            raise


def _wait_for(ends: list[Future[None]]) -> None:
    """Wait until every thread has ended, however often Ctrl-C is pressed: the lock must not be freed before."""
    while True:
        try:
            wait(ends)
        except KeyboardInterrupt:
            continue
        return
