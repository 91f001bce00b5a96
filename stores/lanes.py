"""Windows shared out between threads."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

Lane = Callable[[], AbstractContextManager[Callable[[int], None]]]
"""Opens one thread's hands: what takes a window and works on it."""


def work_off(windows: Iterable[int], lane: Lane, threads: int, done: Callable[[int], None]) -> None:
    """Work on each window once, in about this order; every thread opens one `lane`.

    After a failure, or Ctrl-C, each thread ends with the window it is at, and the fault is raised.

    Parameters
    ----------
    windows
        The windows, taken one by one.
    lane
        Opened once by each thread.
    threads
        How many.
    done
        Called with each finished window, never by two threads at a time.
    """
    queue = iter(windows)
    guard = threading.Lock()
    stop = threading.Event()

    def run() -> None:
        try:
            with lane() as work:
                while not stop.is_set():
                    with guard:
                        window = next(queue, None)
                    if window is None:
                        return
                    work(window)
                    with guard:
                        done(window)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(threads) as pool:
        ends = [pool.submit(run) for _ in range(threads)]
        try:
            for end in ends:
                end.result()
        except BaseException:
            stop.set()
            raise
