"""The limit: threads that do nothing but encode the same chunks and write them to files. No zarr, no checks."""

import ctypes
import mmap
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.case import MIB
from benchmarks.job import Job, Run
from benchmarks.movie import open_movie

# Of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def encode_and_write(job: Job, *, flush: bool = False) -> Run:
    """One file per shard, its chunks one after another, straight from the mapped movie."""
    from numcodecs import blosc

    blosc.use_threads = False
    _keep_memory()
    codec = blosc.Blosc("lz4", clevel=5, shuffle=blosc.BITSHUFFLE)
    step = job.case.chunk_shape[0]

    def run() -> None:
        job.output.mkdir()
        pixels = open_movie(job.case, job.movie)

        def store(window: slice) -> None:
            with (job.output / str(window.start)).open("wb") as file:
                for start in range(window.start, window.stop, step):
                    chunk = pixels[start : min(start + step, window.stop)]
                    file.write(codec.encode(np.ascontiguousarray(chunk)))
                if flush:
                    os.fsync(file.fileno())

        with ThreadPoolExecutor(job.workers) as pool:
            list(pool.map(store, job.case.windows))

    return run


def _keep_memory() -> None:
    """Freed memory is used again, not given back to the kernel.

    numcodecs gives each encoded chunk in new memory, and glibc takes blocks of megabytes from the kernel each time:
    a page fault for every 4 KiB, a third of all the time that the limit would take.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 32 * MIB)
    libc.mallopt(_M_TRIM_THRESHOLD, 256 * MIB)


def encode_write_flush(job: Job) -> Run:
    """Do the same, and flush each file: what is promised to outlive a power cut cannot be faster."""
    return encode_and_write(job, flush=True)


def read_directly(job: Job) -> Run:
    """Read the movie once from the first byte to the last, past the page cache: what the disk gives."""
    buffer = memoryview(mmap.mmap(-1, 8 * MIB))

    def run() -> None:
        job.output.mkdir()
        descriptor = os.open(job.movie, os.O_RDONLY | os.O_DIRECT)
        try:
            while os.readv(descriptor, [buffer]) == len(buffer):
                pass
        finally:
            os.close(descriptor)

    return run


def check_encoded(job: Job) -> None:
    """Every pixel in the limit's files is the movie's; raises otherwise."""
    from numcodecs import blosc

    pixels = open_movie(job.case, job.movie)
    step = job.case.chunk_shape[0]
    for window in job.case.windows:
        data = memoryview((job.output / str(window.start)).read_bytes())
        for start in range(window.start, window.stop, step):
            expected = pixels[start : min(start + step, window.stop)]
            size = int.from_bytes(data[12:16], "little")  # of blosc's header: bytes, header included
            found = np.frombuffer(blosc.decompress(data[:size]), expected.dtype).reshape(expected.shape)
            if not np.array_equal(found, expected):
                raise AssertionError(f"pixels differ in the chunk of sample {start}")
            data = data[size:]
