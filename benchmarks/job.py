"""One run of one contender, as a process of its own is told of it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.case import Case

Run = Callable[[], None]
"""What is timed. Imports and everything else that comes before the first pixel are done by who gives it."""


@dataclass(frozen=True)
class Job:
    """Convert `movie` into folder `output`, which is not there yet, with so many threads."""

    case: Case
    movie: Path
    output: Path
    workers: int

    @property
    def store(self) -> Path:
        """The Zarr group of a contender that writes one."""
        return self.output / "movie.zarr"

    @property
    def array(self) -> Path:
        """Its array."""
        return self.store / "0"

    def to_json(self) -> str:
        """Give one line."""
        return json.dumps(asdict(self) | {"movie": str(self.movie), "output": str(self.output)})

    @classmethod
    def from_json(cls, line: str) -> "Job":
        """Take what `to_json` gave."""
        fields = json.loads(line)
        return cls(Case(**fields["case"]), Path(fields["movie"]), Path(fields["output"]), fields["workers"])
