"""The peers, each in the setting that was fastest for it on two cores, and the script that a user would write today.

All but that script write the same chunks, shards and codec.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.job import Job, Run
from benchmarks.movie import open_movie


def zarr_python(job: Job) -> Run:
    """Windows of whole shards, as many at a time as there are workers; zarr's own threads kept to as many."""
    import zarr

    zarr.config.set({"threading.max_workers": job.workers})

    def run() -> None:
        array = _create(job)
        pixels = open_movie(job.case, job.movie)

        def store(window: slice) -> None:
            array[window] = pixels[window]

        with ThreadPoolExecutor(job.workers) as pool:
            list(pool.map(store, job.case.windows))

    return run


def tensorstore(job: Job) -> Run:
    """Windows of whole shards, two more in flight than there are workers, never flushed."""
    import tensorstore as ts

    in_flight = job.workers + 2
    context = ts.Context({"data_copy_concurrency": {"limit": job.workers}, "file_io_concurrency": {"limit": in_flight}})

    def run() -> None:
        _create(job)
        pixels = open_movie(job.case, job.movie)
        kvstore = {"driver": "file", "path": f"{job.array}/", "file_io_sync": False}
        array = ts.open({"driver": "zarr3", "kvstore": kvstore}, context=context, open=True).result()
        writes: deque[Any] = deque()
        for window in job.case.windows:
            writes.append(array[window].write(pixels[window], can_reference_source_data_indefinitely=True))
            if len(writes) == in_flight:
                writes.popleft().result()
        for write in writes:
            write.result()

    return run


def dask(job: Job) -> Run:
    """`to_zarr` of an array with one block per shard."""
    import dask
    import dask.array as da
    import zarr

    zarr.config.set({"threading.max_workers": job.workers})

    class Movie:
        """Not a numpy array: those are copied into dask's graph as a whole, which costs two thirds of the speed."""

        dtype = np.dtype(job.case.dtype)
        shape = job.case.shape
        ndim = len(shape)

        def __init__(self) -> None:
            self._pixels = open_movie(job.case, job.movie)

        def __getitem__(self, part: Any) -> NDArray[Any]:
            pixels: NDArray[Any] = self._pixels[part]
            return pixels

    def run() -> None:
        array = _create(job)
        make: Any = da.from_array  # ships no types
        blocks = make(Movie(), chunks=job.case.shard_shape, name=False, inline_array=True)
        with dask.config.set(scheduler="threads", num_workers=job.workers):
            blocks.to_zarr(array)

    return run


def script(job: Job) -> Run:
    """Loop with roiextractors into an array with zarr's defaults."""
    import zarr
    from roiextractors.extractors.memmapextractors.numpymemampextractor import NumpyMemmapImagingExtractor

    case = job.case

    def run() -> None:
        extractor = NumpyMemmapImagingExtractor(**_roiextractors_arguments(job))
        shape = (case.samples, case.rows, case.columns, case.channels)
        array = zarr.create_array(store=job.array, shape=shape, dtype=case.dtype)
        step = array.chunks[0] * max(1, 256 // array.chunks[0])  # whole chunks: kinder than most scripts
        for start in range(0, case.samples, step):
            end = min(start + step, case.samples)
            array[start:end] = extractor.get_series(start, end)

    return run


def neuroconv(job: Job) -> Run:
    """NWB by hdmf-zarr: the same chunks and codec, in buffers of a quarter GB; Zarr 2, which has no shards."""
    from datetime import UTC, datetime

    from neuroconv.tools import configure_and_write_nwbfile
    from neuroconv.tools.nwb_helpers import get_default_backend_configuration
    from neuroconv.tools.roiextractors import add_imaging_to_nwbfile
    from numcodecs import Blosc
    from pynwb import NWBFile
    from roiextractors.extractors.memmapextractors.numpymemampextractor import NumpyMemmapImagingExtractor

    class WithoutChannels(NumpyMemmapImagingExtractor):  # type: ignore[misc]
        """Neuroconv takes no series with an axis of channels."""

        def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
            series: NDArray[Any] = super().get_series(start_sample, end_sample)[..., 0]
            return series

    def run() -> None:
        job.output.mkdir()
        extractor = WithoutChannels(**_roiextractors_arguments(job))
        nwb = NWBFile(session_description="movie", identifier="movie", session_start_time=datetime.now(UTC))
        samples, rows, columns = job.case.chunk_shape
        iterator = {"buffer_gb": 0.25, "chunk_shape": (samples, columns, rows)}  # NWB has columns before rows
        add_imaging_to_nwbfile(imaging=extractor, nwbfile=nwb, iterator_options=iterator)
        configuration = get_default_backend_configuration(nwb, "zarr")
        configuration.number_of_jobs = job.workers
        (pixels,) = configuration.dataset_configurations.values()
        pixels.compression_method = Blosc("lz4", clevel=5, shuffle=Blosc.BITSHUFFLE)
        configure_and_write_nwbfile(nwb, job.store, backend_configuration=configuration)

    return run


def _roiextractors_arguments(job: Job) -> dict[str, Any]:
    """Give roiextractors what it asks for, with an axis of channels, of one channel if need be."""
    from roiextractors.extraction_tools import VideoStructure

    case = job.case
    axes = case.disk_axes if "c" in case.disk_axes else case.disk_axes + "c"
    structure = VideoStructure(
        num_rows=case.rows,
        num_columns=case.columns,
        num_channels=case.channels,
        rows_axis=axes.index("y"),
        columns_axis=axes.index("x"),
        channels_axis=axes.index("c"),
        frame_axis=axes.index("t"),
    )
    return {
        "file_path": job.movie,
        "video_structure": structure,
        "sampling_frequency": 30.0,
        "dtype": np.dtype(case.dtype),
    }


def check_store(job: Job) -> None:
    """Every pixel is the movie's, and the array has the chunks, shards and codec of the case; raises otherwise."""
    import zarr

    array = zarr.open_array(job.array, mode="r")
    grid = (array.shape, array.chunks, array.shards, [type(codec).__name__ for codec in array.compressors])
    expected = (job.case.shape, job.case.chunk_shape, job.case.shard_shape, ["BloscCodec", "Crc32cCodec"])
    if grid != expected:
        raise AssertionError(f"expected an array of {expected}; found {grid}")
    _compare(job, lambda window: np.asarray(array[window]))


def check_script(job: Job) -> None:
    """Every pixel is the movie's; raises otherwise."""
    import zarr

    array = zarr.open_array(job.array, mode="r")
    # (t, y, x, c), as roiextractors gives
    _compare(job, lambda window: np.moveaxis(np.asarray(array[window]), -1, 1).reshape(-1, *job.case.shape[1:]))


def check_neuroconv(job: Job) -> None:
    """Every pixel is the movie's; raises otherwise."""
    import zarr

    (path,) = job.store.glob("acquisition/*/data")
    array: Any = zarr.open(str(path), mode="r")
    samples, rows, columns = job.case.chunk_shape
    if array.chunks != (samples, columns, rows):
        raise AssertionError(f"expected chunks of {(samples, columns, rows)}; found {array.chunks}")
    _compare(job, lambda window: np.asarray(array[window]).swapaxes(1, 2))


def _compare(job: Job, stored: Callable[[slice], NDArray[Any]]) -> None:
    pixels = open_movie(job.case, job.movie)
    for window in job.case.windows:
        if not np.array_equal(stored(window), pixels[window]):
            raise AssertionError(f"pixels differ in samples {window.start} to {window.stop}")


def _create(job: Job) -> Any:
    """Make the array that all who know what they do would make; every window is stored, also one of zeros."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    dtype = np.dtype(job.case.dtype)
    codecs = (BloscCodec(typesize=dtype.itemsize, cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec())
    return zarr.create_array(
        store=job.array,
        shape=job.case.shape,
        chunks=job.case.chunk_shape,
        shards=job.case.shard_shape,
        dtype=dtype.newbyteorder("<"),
        compressors=codecs,
        config={"write_empty_chunks": True},
    )
