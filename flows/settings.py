"""What the scheduled flows are told: the dashboard's forms are made from these models, and check what is typed in."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stores.landing import Completeness
from stores.options import ConvertOptions


class IngestSettings(BaseModel):
    """One landing folder, the archive that it goes to, and when a recording counts as complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landing: Path = Field(description="Folder that recordings are put into, at any depth. It is only read.")
    archive: Path = Field(description="Folder of the stores; the ledger is in its folder .zarrmill.")
    minimum_age_seconds: float = Field(
        default=60, ge=0, description="A recording whose files changed more recently than this is waited for."
    )
    settle_seconds: float = Field(
        default=5, ge=0, le=3600, description="Two looks at a recording, this far apart, must find the same files."
    )
    sentinel: str | None = Field(
        default=None,
        min_length=1,
        pattern=r"^[^/]+$",
        description="Name of a file that marks every recording in its folder as complete, and without which none is. "
        "With {name} in it, it marks the recording of that name: {name}.done.",
    )
    patience_seconds: float = Field(
        default=3600,
        ge=0,
        description="How long a recording with fewer bytes than it should have is waited for after its last change; "
        "then it is refused, until it changes again.",
    )
    at_a_time: int = Field(default=3, ge=1, le=64, description="Recordings that are converted at the same time.")
    options: ConvertOptions = Field(
        default_factory=ConvertOptions, description="How the pixels are stored, and by how many threads."
    )

    @property
    def completeness(self) -> Completeness:
        """The settings that say when a recording is complete."""
        return Completeness.model_validate(self.model_dump(include=set(Completeness.model_fields)))

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        if self.landing.absolute() == self.archive.absolute():
            raise ValueError("landing and archive must be different folders")
        return self


class AuditSettings(BaseModel):
    """Which stores of an archive are read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: Path = Field(description="Folder of the stores, with the ledger in it.")
    oldest: int | None = Field(
        default=None, ge=1, description="Only so many, those that were not audited for the longest time; all if empty."
    )
