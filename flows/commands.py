"""What each command does, and its answer for people and for machines.

Imports are inside the functions: what `inspect` needs is imported in a fraction of a second, prefect takes one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from extractors.recording import open_recording
from flows.terminal import amount, duration, progress_bar, say, table

if TYPE_CHECKING:
    from flows.launch import LaunchedRun
    from stores.convert import Report
    from stores.options import ConvertOptions

NO_DASHBOARD = (
    "no dashboard: PREFECT_API_URL is not set. `prefect server start` starts one, and prints the address to set."
)


class Usage(Exception):
    """The command line was not understood."""


class Answer(NamedTuple):
    """What a command found out."""

    data: dict[str, Any]
    """For machines: JSON."""
    text: str
    """For people."""
    good: bool = True
    """False where what was found differs from what should be there."""


def inspect(*, path: Path, sampling_frequency_hz: float | None, quiet: bool) -> Answer:  # noqa: ARG001 - says nothing on the way
    """What is known of a recording, without reading its pixels."""
    with open_recording(path, sampling_frequency_hz=sampling_frequency_hz) as extractor:
        info = extractor.info
        shape = dict(zip(extractor.axes, extractor.shape, strict=True))
        pixel_bytes = prod(extractor.shape) * extractor.get_dtype().itemsize
        data = {
            "recording": str(path),
            "axes": extractor.axes,
            "shape": list(extractor.shape),
            "dtype": extractor.get_dtype().str,
            "pixel_bytes": pixel_bytes,
            "info": info.model_dump(mode="json"),
            "sources": [source.model_dump(mode="json") for source in extractor.sources],
        }
    frequency = info.sampling_frequency_hz
    rows = {
        "recording": str(path),
        "name": info.name,
        "format": info.format,
        "files": str(len(extractor.sources)),
        "shape": ", ".join(f"{axis} {size}" for axis, size in shape.items()),
        "dtype": f"{extractor.get_dtype().name} ({extractor.get_dtype().str})",
        "pixels": amount(pixel_bytes),
        "rate": "unknown: convert needs --sampling-frequency" if frequency is None else f"{frequency:g} Hz",
        "duration": "unknown" if frequency is None else duration(shape["t"] / frequency),
        "pixel size": "unknown" if info.pixel_size_um is None else "{:g} x {:g} µm (y, x)".format(*info.pixel_size_um),
    }
    if info.plane_spacing_um is not None:
        rows["plane spacing"] = f"{info.plane_spacing_um:g} µm"
    if info.channel_names is not None:
        rows["channels"] = ", ".join(info.channel_names)
    return Answer(data, table(rows))


def convert(
    *, path: Path, target: Path, sampling_frequency_hz: float | None, quiet: bool, **options: int | str | None
) -> Answer:
    """Convert one recording: by a flow run where a Prefect API is configured, else in this process."""
    from stores.options import ConvertOptions

    try:
        chosen = ConvertOptions.model_validate({name: value for name, value in options.items() if value is not None})
    except ValidationError as fault:
        problem = fault.errors()[0]
        msg = f"--{str(problem['loc'][0]).replace('_', '-')} {problem['input']}: {problem['msg']}"
        raise Usage(msg) from None
    if os.environ.get("PREFECT_API_URL"):
        return _convert_by_flow(path, target, chosen, sampling_frequency_hz, quiet=quiet)
    from stores.convert import convert as convert_here

    if not quiet:
        say(NO_DASHBOARD)
    with _resumable(target), progress_bar("convert", quiet=quiet) as progress:
        report = convert_here(path, target, chosen, sampling_frequency_hz=sampling_frequency_hz, progress=progress)
    return _converted(report, None)


def _convert_by_flow(
    path: Path, target: Path, options: "ConvertOptions", sampling_frequency_hz: float | None, *, quiet: bool
) -> Answer:
    from flows.launch import launch_convert

    def announce(run: "LaunchedRun") -> None:
        if not quiet and run.address is not None:
            say(f"flow run {run.name}: {run.address}")

    with _resumable(target), progress_bar("convert", quiet=quiet) as progress:
        report, run = launch_convert(path, target, options, sampling_frequency_hz, progress=progress, announce=announce)
    return _converted(report, run)


@contextmanager
def _resumable(target: Path) -> Iterator[None]:
    """Say what an interruption leaves behind."""
    from stores.staging import staging_folder

    try:
        yield
    except KeyboardInterrupt:
        staging = staging_folder(target)
        if staging.exists():
            msg = f"interrupted; what is finished is kept in {staging}: the same command goes on from there"
        else:
            msg = "interrupted before anything was stored"
        raise KeyboardInterrupt(msg) from None


def _converted(report: "Report", run: "LaunchedRun | None") -> Answer:
    for notice in report.notices:
        say(f"note: {notice}")
    plan = report.metadata.plan
    shape = ", ".join(f"{axis} {size}" for axis, size in zip(plan.axes, plan.shape, strict=True))
    rows = {
        "store": str(report.target),
        "array": f"{shape}, {plan.dtype}",
        "stored": f"{amount(report.stored_bytes)} for {amount(plan.total_bytes)} of pixels",
        "verified": f"{plan.window_count} windows: each was read back from the disk, and is equal",
        "digest": report.metadata.content_digest,
    }
    if run is not None:
        rows["flow run"] = run.address or f"{run.name}, on a temporary Prefect server"
    data = report.model_dump(mode="json") | {"flow_run": None if run is None else run._asdict()}
    return Answer(data, table(rows))


def verify(*, target: Path, source: Path | None, quiet: bool) -> Answer:
    """Read a store back, every pixel; with the recording at hand, compare it with that as well."""
    from stores.verify import verify_store

    with progress_bar("verify", quiet=quiet) as progress:
        verification = verify_store(target, source=source, progress=progress)
    data = verification.model_dump(mode="json")
    if verification.findings:
        lines = [
            f"[{finding.code}] {finding.path}: expected {finding.expected}; found {finding.found}"
            for finding in verification.findings
        ]
        return Answer(data, "\n".join([*lines, f"{len(lines)} findings in {target}"]), good=False)
    plan = verification.metadata.plan
    rows = {"store": str(target)}
    rows["verified"] = f"{plan.window_count} windows, {amount(plan.total_bytes)}: every pixel has its recorded digest"
    if source is not None:
        rows["source"] = f"{source}: every pixel is equal"
    return Answer(data, table(rows))


def serve(*, landing: Path, archive: Path, every: timedelta, port: int, state: Path | None, quiet: bool) -> Answer:
    """Sweep on a schedule until the user ends it."""
    from flows.serve import default_state
    from flows.serve import serve as serve_here

    state = state or default_state()
    serve_here(landing, archive, every, port=port, state=state, say=(lambda _: None) if quiet else say)
    return Answer({"state": str(state)}, "ended. Started again, it goes on where it was.")


def example(*, folder: Path, quiet: bool) -> Answer:
    """Make a small recording, convert it by the Prefect flow, and compare every pixel with the recording."""
    from flows.example import make_recording
    from stores.options import MIB, ConvertOptions

    recording = make_recording(folder)
    target = folder / "movie.zarr"
    if not quiet and not os.environ.get("PREFECT_API_URL"):
        say("starting a temporary Prefect server; the first start takes about 15 s ...")
    # Some windows, not one, as in a recording of real size.
    options = ConvertOptions(chunk_bytes=MIB // 4, shard_bytes=MIB)
    converted = _convert_by_flow(recording, target, options, None, quiet=quiet)
    verified = verify(target=target, source=recording, quiet=quiet)
    return Answer(
        {"converted": converted.data, "verified": verified.data},
        f"{converted.text}\n\n{verified.text}",
        good=verified.good,
    )
