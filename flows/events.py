"""Events that users hang notifications on: a recording was stored, or refused.

They are about the resource `zarrmill.recording.HANDLE`; Prefect relates them to the flow run, its deployment and tags.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.events import emit_event

from extractors.errors import InputRefused
from flows.naming import handle
from stores.candidate import PASSING
from stores.convert import Report

STORED = "zarrmill.recording.stored"
REFUSED = "zarrmill.recording.refused"


def tell_stored(recording: Path, report: Report) -> None:
    """Emit that a recording is stored."""
    metadata = report.metadata
    payload = {
        "recording": str(recording),
        "target": str(report.target),
        "shape": dict(zip(metadata.plan.axes, metadata.plan.shape, strict=True)),
        "dtype": metadata.plan.dtype,
        "pixel_bytes": metadata.plan.total_bytes,
        "stored_bytes": report.stored_bytes,
        "content_digest": metadata.content_digest,
        "notices": list(report.notices),
    }
    emit_event(event=STORED, resource=_resource(recording), payload=payload)


def tell_refused(recording: Path, code: str, message: str) -> None:
    """Emit that a recording is refused, and will be until it changes."""
    payload = {"recording": str(recording), "code": code, "message": message}
    emit_event(event=REFUSED, resource=_resource(recording), payload=payload)


@contextmanager
def telling_refusal(recording: Path) -> Iterator[None]:
    """Emit that `recording` is refused if that ends the block; not for what may pass without it changing."""
    try:
        yield
    except InputRefused as fault:
        if fault.code not in PASSING:
            tell_refused(recording, fault.code, str(fault))
        raise


def _resource(recording: Path) -> dict[str, str]:
    return {
        "prefect.resource.id": f"zarrmill.recording.{handle(recording)}",
        "prefect.resource.name": f"{recording.absolute().parent.name}/{recording.name}",
    }
