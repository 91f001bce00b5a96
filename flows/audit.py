"""The flow `audit`: published stores are read back, and damage is found while the recording may still be there."""

import asyncio
import math
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.settings import AuditSettings
from flows.tasks import read_stores_back
from stores.audit import Audited, AuditReport, choose_stores, report_audit

# One task run per store would be too many for an archive of thousands.
_TASK_RUNS = 200


def run_name() -> str:
    """Name the run after the archive it reads."""
    settings = AuditSettings.model_validate(flow_run.parameters["settings"])
    return f"audit of {settings.archive.name}"


@flow(
    name="audit",
    flow_run_name=run_name,
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]
)
async def audit(settings: AuditSettings) -> AuditReport | State[Any]:
    """Read published stores back, and compare every pixel with its recorded digest; the run fails if one differs.

    Args:
        settings: Which stores.
    """
    log = get_run_logger()
    keys = await asyncio.to_thread(choose_stores, settings.archive, settings.oldest)
    size = max(1, math.ceil(len(keys) / _TASK_RUNS))
    audited: list[Audited] = []
    for first in range(0, len(keys), size):
        future = read_stores_back.submit(settings.archive, keys[first : first + size], first)
        audited += await asyncio.to_thread(future.result)
    report = report_audit(audited)
    for store in report.damaged:
        for finding in store.findings:
            log.error("%s: expected %s; found %s", finding.path, finding.expected, finding.found)
    log.info(report.summary)
    if report.damaged:
        which = ", ".join(store.target for store in report.damaged)
        return Failed(message=f"{report.summary}: {which}. `zarrmill repair STORE` writes damaged windows again.")
    return Completed(message=report.summary, data=report)
