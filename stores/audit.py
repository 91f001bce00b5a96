"""Published stores, read back again and again over the years: what is damaged, and since when it was not."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from extractors.errors import ZarrmillError
from stores.ledger import Entry, Ledger
from stores.verify import Finding, verify_store


class Audited(BaseModel):
    """One store that was read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    findings: tuple[Finding, ...] = ()
    """Each names the file and what is wrong with it; none if every pixel is as it was written."""


class AuditReport(BaseModel):
    """The stores of an archive that were read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stores: int
    damaged: tuple[Audited, ...]

    @property
    def summary(self) -> str:
        """One line."""
        return f"{self.stores} stores read back, {len(self.damaged)} damaged"


def choose_stores(archive: Path, oldest: int | None) -> list[str]:
    """Choose the stores that were not audited for the longest time; gives their keys in the ledger, oldest first.

    Parameters
    ----------
    archive
        The folder of the stores.
    oldest
        How many; all if None.
    """
    stored = [entry for entry in Ledger(archive).entries() if entry.outcome == "stored"]
    return [entry.key for entry in sorted(stored, key=_when)][:oldest]


def audit_store(archive: Path, key: str) -> Audited:
    """Read one store back, and keep in the ledger when that was and what was found.

    Damage is a finding, not an error, so that one store does not hide the next.

    Raises
    ------
    StorageFailed
        The ledger cannot be written.
    """
    ledger = Ledger(archive)
    entry = ledger.entry(key)
    if entry is None:
        return Audited(target=key)  # forgotten since it was chosen
    target = ledger.archive / entry.target
    try:
        findings = verify_store(target).findings
    except ZarrmillError as fault:
        findings = (Finding(code=fault.code, path=str(fault.path), expected=fault.expected, found=fault.found),)
    damage = tuple(f"{finding.path}: expected {finding.expected}; found {finding.found}" for finding in findings)
    # Read again: a sweep may have noted in the meantime that the recording was renamed.
    entry = ledger.entry(key) or entry
    ledger.record(entry.model_copy(update={"audited": datetime.now(UTC), "damage": damage}))
    return Audited(target=str(target), findings=findings)


def report_audit(audited: Iterable[Audited]) -> AuditReport:
    """Sum up."""
    stores = list(audited)
    return AuditReport(stores=len(stores), damaged=tuple(store for store in stores if store.findings))


def audit(archive: Path, oldest: int | None = None) -> AuditReport:
    """Read stores back, one after another, in this process."""
    return report_audit(audit_store(archive, key) for key in choose_stores(archive, oldest))


def _when(entry: Entry) -> datetime:
    return entry.audited or datetime.min.replace(tzinfo=UTC)
