"""Threads that share windows: who interrupts them gets control back when all of them have ended."""

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from stores.lanes import work_off


def test_a_second_interruption_does_not_leave_threads_behind() -> None:
    at_work = threading.Event()
    ended: list[int] = []

    def lane(windows: Iterator[int], _done: Callable[[int], None]) -> None:
        for window in windows:
            at_work.set()
            time.sleep(1)
            ended.append(window)

    def press_twice() -> None:
        at_work.wait()
        time.sleep(0.2)
        for _ in range(2):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.3)

    presser = threading.Thread(target=press_twice)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        work_off(range(9), lane, 1, lambda _: None)
    assert ended == [0]
    presser.join()


def test_a_signal_that_comes_right_before_the_wait_is_not_put_off_until_the_last_window() -> None:
    """It is known to Python then, but wakes nobody: as `interrupt_main` tells Python alone, and not the kernel."""
    windows = 10_000
    done: list[int] = []

    def lane(windows: Iterator[int], done: Callable[[int], None]) -> None:
        for window in windows:
            if window == 20:
                _thread.interrupt_main()
            time.sleep(0.002)
            done(window)

    with pytest.raises(KeyboardInterrupt):
        work_off(range(windows), lane, 1, done.append)
    assert len(done) < windows
