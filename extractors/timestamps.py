"""TimestampField: how the bytes beside each sample's pixels become its time."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel

from extractors.fields import MODEL, Bytes, Dtype, Listed, NotEmpty, Positive
from extractors.strided import StridedTimes


class TimestampField(BaseModel):
    """Where each sample carries its time: the sum of the fields, each times its unit, in seconds."""

    model_config = MODEL

    offset_bytes: Bytes
    """Bytes from the start of the sample (its header, if it has one) to the first field."""
    fields: NotEmpty[Annotated[tuple[Dtype, Positive], Listed]]
    """The fields one after another, each a dtype and the seconds in one unit, such as [["<u4", 1], ["<u2", 0.001]]."""

    @property
    def end_bytes(self) -> int:
        """Bytes from the start of the sample to the end of the last field."""
        return self.offset_bytes + sum(np.dtype(dtype).itemsize for dtype, _ in self.fields)

    def resolve(self, first_sample_bytes: int, sample_stride_bytes: int) -> StridedTimes:
        """Where each sample's time lies in files whose samples start there and follow at this distance."""
        return StridedTimes(
            offset_bytes=first_sample_bytes + self.offset_bytes,
            stride_bytes=sample_stride_bytes,
            fields=tuple((np.dtype(name), seconds_per_unit) for name, seconds_per_unit in self.fields),
        )
