"""Everyone who takes part, by name."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import limit, ours, peers
from benchmarks.job import Job, Run


@dataclass(frozen=True)
class Contender:
    """One way to store the movie."""

    title: str
    start: Callable[[Job], Run]
    """Imports what it needs, and gives what is timed."""
    check: Callable[[Job], None] | None
    """Raises where the pixels stored are not the movie's; None where nothing is stored to be read."""
    needs_server: bool = False
    python: str = sys.executable
    """That has what it imports."""


CONTENDERS = {
    "limit": Contender("limit: encode and write", limit.encode_and_write, limit.check_encoded),
    "limit-flushed": Contender("limit, each file flushed", limit.encode_write_flush, limit.check_encoded),
    "engine": Contender("zarrmill, read back and verified", ours.engine, peers.check_store),
    "engine-writing": Contender("zarrmill, writing alone", ours.engine_writing, None),
    "flow": Contender("zarrmill as a Prefect flow", ours.flow, peers.check_store, needs_server=True),
    "zarr": Contender("zarr-python, whole shards", peers.zarr_python, peers.check_store),
    "tensorstore": Contender("tensorstore, whole shards", peers.tensorstore, peers.check_store),
    "dask": Contender("dask to_zarr, whole shards", peers.dask, peers.check_store),
    "script": Contender("roiextractors loop, zarr's defaults", peers.script, peers.check_script),
    "neuroconv": Contender(
        "neuroconv, NWB by hdmf-zarr",
        peers.neuroconv,
        peers.check_neuroconv,
        python=os.environ.get("NEUROCONV_PYTHON", sys.executable),
    ),
    "direct-read": Contender("reading alone, O_DIRECT", limit.read_directly, None),
}
LIMIT = "limit"
