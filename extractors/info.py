"""What is known of a recording besides its pixels."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RecordingInfo(BaseModel):
    """Name, format, time base, sizes in space, and the description that the recording came with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What the recording is called: the file's name without its endings."""
    format: str
    """Which reader opened it, such as "layout" or "npy"."""
    sampling_frequency_hz: Positive | None = None
    """Samples per second; None if nobody said."""
    pixel_size_um: tuple[Positive, Positive] | None = None
    """Distance between pixels along y and along x, in micrometres."""
    plane_spacing_um: Positive | None = None
    """Distance between planes, in micrometres."""
    channel_names: tuple[str, ...] | None = None
    """One name per channel."""
    layout: dict[str, JsonValue] | None = None
    """The layout that was used, as JSON; None if there are no flat files behind the recording."""
    vendor: dict[str, JsonValue] = {}
    """What the acquisition software wrote, as it wrote it."""
