"""Our own: the engine, and the engine through its Prefect flow."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.case import Case
from benchmarks.job import Job, Run
from extractors.layout import Layout
from stores.options import ConvertOptions
from stores.plan import FEW_SHARDS


def engine(job: Job) -> Run:
    """The whole conversion: digests, statistics, checksums, flushed, read back and compared, published."""
    from stores.convert import convert

    recording = describe(job.case, job.movie)
    options = _options(job)

    def run() -> None:
        job.output.mkdir()
        convert(recording, job.store, options)

    return run


def engine_writing(job: Job) -> Run:
    """The same without reading back and publishing: the store stays in its staging folder."""
    from stores.convert import prepare
    from stores.staging import Staging
    from stores.summary import Digest
    from stores.worker import Worker

    recording = describe(job.case, job.movie)
    options = _options(job)

    class Writer(Worker):
        def _read_back(self, _window: int, _digest: Digest) -> Iterator[None]:
            return iter(())

    def write(windows: range) -> None:
        with Writer(job.store, print) as worker:
            worker.store(windows, lambda _: None)

    def run() -> None:
        job.output.mkdir()
        staging = Staging(job.store)
        with staging.locked(), ThreadPoolExecutor(options.workers) as pool:
            count = prepare(staging, recording, options).window_count
            lanes = [range(first, count, options.workers) for first in range(options.workers)]
            list(pool.map(write, lanes))

    return run


def flow(job: Job) -> Run:
    """The whole conversion as a flow run on the server of PREFECT_API_URL."""
    import asyncio

    # prefect imports these when its first run begins
    import anyio._backends._asyncio  # noqa: F401
    import fastapi.encoders  # noqa: F401
    import prefect.flow_engine
    import prefect.task_engine  # noqa: F401

    from flows.convert import convert

    recording = describe(job.case, job.movie)
    options = _options(job)

    def run() -> None:
        job.output.mkdir()
        asyncio.run(convert(recording, job.store, options))

    return run


def describe(case: Case, movie: Path) -> Path:
    """A layout file lies beside the movie; gives its path."""
    path = movie.with_name(f"{movie.name}.layout.json")
    layout = Layout(
        dtype=case.dtype,
        axes=case.disk_axes,
        rows=case.rows,
        columns=case.columns,
        channels=case.channels,
        samples=case.samples,
        sampling_frequency_hz=30.0,
    )
    path.write_text(layout.model_dump_json(exclude_defaults=True))
    return path


def _options(job: Job) -> ConvertOptions:
    chunk_bytes = job.case.chunk_bytes
    shard_bytes = job.case.shard_shape[0] * job.case.sample_bytes
    if job.case.total_bytes < FEW_SHARDS * 2 * shard_bytes:
        shard_bytes *= 2  # so that it stores the same shards as the others, and not smaller ones
    return ConvertOptions(chunk_bytes=chunk_bytes, shard_bytes=shard_bytes, workers=job.workers)
