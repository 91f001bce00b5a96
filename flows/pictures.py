"""A recording at a glance: its mean image, and below it the trace of its mean intensity.

One SVG, as the source of an HTML image: text and lines come sharp from a few lines of code, where a PNG of them would
need a library. Only the mean image in it is a PNG.
"""

import base64
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import zarr
from numpy.typing import NDArray

from stores.metadata import RunMetadata

_GREYS = 64
"""More cannot be told apart, and the noise of the rest would be half of the picture's bytes."""
_STRETCH_PERCENT = (1.0, 99.5)
_COLUMNS = 512
"""Of the trace: where there are more samples, each column shows the range of several."""
_BLOCK_SAMPLES = 1 << 20
_UNQUOTED = "/:;=,+"
"""What neither ends a Markdown link nor has a meaning in an address: base64, for the most part."""
_LEFT, _TOP, _GAP = 64, 12, 42
_IMAGE_SIDE, _LEAST_SIDE = 300, 12
_TRACE_HEIGHT = 120
_WIDTH = _LEFT + _COLUMNS + 24


class Trace(NamedTuple):
    """Mean intensity over time, of equal spans of samples."""

    low: NDArray[np.float64]
    mean: NDArray[np.float64]
    high: NDArray[np.float64]
    """NaN in spans without a finite sample."""


def recording_picture(store: Path, metadata: RunMetadata) -> str:
    """Draw a published store, as a `data:` address of less than 200 KB."""
    image: Any = zarr.open_array(store / "mean_image", mode="r")
    means: Any = zarr.open_array(store / "sample_mean", mode="r")
    trace = read_trace(lambda start, end: means[start:end], metadata.plan.shape[0])
    rate = metadata.info.sampling_frequency_hz
    svg = draw(image[:], trace, None if rate is None else metadata.plan.shape[0] / rate, _field_um(metadata))
    return f"data:image/svg+xml,{quote(svg, safe=_UNQUOTED)}"


def _field_um(metadata: RunMetadata) -> tuple[float, float] | None:
    if metadata.info.pixel_size_um is None:
        return None
    rows, columns = metadata.plan.shape[-2:]
    return rows * metadata.info.pixel_size_um[0], columns * metadata.info.pixel_size_um[1]


def read_trace(read: Callable[[int, int], NDArray[np.float64]], count: int) -> Trace:
    """Make the trace of `count` samples from `read(start, end)`, never holding many of them."""
    columns = min(count, _COLUMNS)
    edges = np.arange(columns + 1) * count // columns
    trace = Trace(np.full(columns, np.inf), np.zeros(columns), np.full(columns, -np.inf))
    finite = np.zeros(columns)
    for start in range(0, count, _BLOCK_SAMPLES):
        values = read(start, min(start + _BLOCK_SAMPLES, count))
        column = np.searchsorted(edges, np.arange(start, start + len(values)), side="right") - 1
        good = np.isfinite(values)
        np.minimum.at(trace.low, column[good], values[good])
        np.maximum.at(trace.high, column[good], values[good])
        np.add.at(trace.mean, column[good], values[good])
        finite += np.bincount(column[good], minlength=columns)
    empty = finite == 0
    for part in trace:
        part[empty] = np.nan
    trace.mean[~empty] /= finite[~empty]
    return trace


def draw(image: NDArray[np.float32], trace: Trace, seconds: float | None, field_um: tuple[float, float] | None) -> str:
    """Draw as SVG.

    Parameters
    ----------
    image
        Mean image (rows, columns).
    trace
        Mean intensity over time.
    seconds
        Duration; the time axis counts spans of the trace if None.
    field_um
        Height and width of the image.
    """
    picture, bottom = _image_part(image, field_um)
    top = bottom + _GAP
    height = top + _TRACE_HEIGHT + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" font-size="12" '
        'font-family="sans-serif" fill="#333"><rect width="100%" height="100%" fill="#fff"/>'
        f"{picture}{_trace_part(trace, top, seconds)}</svg>"
    )


def _image_part(image: NDArray[np.float32], field_um: tuple[float, float] | None) -> tuple[str, float]:
    """The mean image, its grey scale and its scale bar; and where they end."""
    tall, wide = field_um or image.shape
    scale = _IMAGE_SIDE / max(tall, wide)
    height, width = max(tall * scale, _LEAST_SIDE), max(wide * scale, _LEAST_SIDE)
    greys, (black, white) = stretch(image)
    side = _LEFT + width + 16
    below = _TOP + max(height, 60)
    parts = [
        f'<image x="{_LEFT}" y="{_TOP}" width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none" ',
        f'href="data:image/png;base64,{base64.b64encode(encode_png(greys)).decode()}"/>',
        '<linearGradient id="g" x1="0" y1="1" x2="0" y2="0"><stop/><stop offset="1" stop-color="#fff"/>',
        f'</linearGradient><rect x="{side:.1f}" y="{_TOP}" width="12" height="{below - _TOP:.1f}" fill="url(#g)" ',
        'stroke="#999"/>',
        _text(side + 18, _TOP + 10, number(white)),
        _text(side + 18, below, number(black)),
        _text(side + 18, (below + _TOP + 10) / 2, "mean image"),
    ]
    if field_um is not None:
        bar_um = round_number(wide / 3)
        length = bar_um * scale
        label = f"{bar_um / 1000:g} mm" if bar_um >= 1000 else f"{bar_um:g} µm"  # noqa: PLR2004
        at = _TOP + height + 8
        parts += [
            f'<path d="M{_LEFT} {at:.1f}h{length:.1f}" stroke="#333" stroke-width="3"/>',
            _text(_LEFT + length + 6, at + 4, label),
        ]
    return "".join(parts), below


def _trace_part(trace: Trace, top: float, seconds: float | None) -> str:
    bottom = top + _TRACE_HEIGHT
    good = np.isfinite(trace.mean)
    title = _text(_LEFT, top - 8, "mean intensity")
    frame = f'<path d="M{_LEFT} {top:.1f}V{bottom:.1f}h{_COLUMNS}" stroke="#999" fill="none"/>'
    if not good.any():
        return title + frame + _text(_LEFT + 8, top + 20, "no finite value")
    low, high = float(trace.low[good].min()), float(trace.high[good].max())
    margin = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin
    span, unit = _time_unit(seconds if seconds is not None else float(len(trace.mean)), known=seconds is not None)
    grid = [
        f'<path d="M{_LEFT} {y:.1f}h{_COLUMNS}" stroke="#ddd"/>{_text(_LEFT - 6, y + 4, label, "end")}'
        for value, label in ticks(low, high, 6)
        for y in [bottom - (value - low) / (high - low) * _TRACE_HEIGHT]
    ]
    grid += [
        f'<path d="M{x:.1f} {bottom:.1f}v4" stroke="#999"/>{_text(x, bottom + 18, label, "middle")}'
        for value, label in ticks(0, span, 8)
        for x in [_LEFT + value / span * _COLUMNS]
    ]
    grid.append(_text(_LEFT + _COLUMNS / 2, bottom + 34, unit, "middle"))
    x = _LEFT + (np.arange(len(trace.mean)) + 0.5) / len(trace.mean) * _COLUMNS

    def line(values: NDArray[np.float64], places: NDArray[np.float64]) -> str:
        y = bottom - (values - low) / (high - low) * _TRACE_HEIGHT
        return "L".join(f"{across:.0f} {down:.1f}" for across, down in zip(places, y, strict=True))

    upper, lower = line(trace.high[good], x[good]), line(trace.low[good][::-1], x[good][::-1])
    band = f'<path d="M{upper}L{lower}Z" fill="#9ec5e8"/>'
    mean = f'<path d="M{line(trace.mean[good], x[good])}" stroke="#1764ab" stroke-width="1.2" fill="none"/>'
    return title + "".join(grid) + frame + band + mean


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _time_unit(span: float, *, known: bool) -> tuple[float, str]:
    if not known:
        return span, "samples"
    for size, unit in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds")):
        if span >= 2 * size:
            return span / size, unit
    return (span, "seconds") if span >= 1 else (span * 1000, "milliseconds")


def number(value: float) -> str:
    """A number with four digits that count."""
    return f"{value:.4g}"


def round_number(most: float) -> float:
    """The largest of 1, 2, 5, 10, 20 ... that is not more than `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= most * (1 + 1e-9))


def ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """At most `most` + 1 round numbers between `low` and `high`, with labels that tell them apart."""
    step = 1 / round_number(most / (high - low))  # the inverse of a round number is one: 0.5, 0.2, 0.1
    first, last = math.ceil(low / step), math.floor(high / step)
    digits = max(0, -math.floor(math.log10(step)))
    values = [place * step for place in range(first, last + 1)]
    plain = max(abs(low), abs(high)) < 1e6 and digits <= 4  # noqa: PLR2004 - longer labels leave the picture
    return [(value, f"{value:.{digits}f}" if plain else f"{value:.3g}") for value in values]


def stretch(image: NDArray[np.float32]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Stretch the contrast to percentiles, so that one hot pixel does not make the rest black; give what they are."""
    finite = image[np.isfinite(image)].astype(np.float64)
    if not finite.size:
        return np.zeros(image.shape, np.uint8), (0.0, 0.0)
    black, white = (float(value) for value in np.percentile(finite, _STRETCH_PERCENT))
    level = (np.nan_to_num(image.astype(np.float64), nan=black) - black) / ((white - black) or 1.0)
    greys = np.round(np.clip(level, 0, 1) * (_GREYS - 1)) * (255 / (_GREYS - 1))
    return greys.astype(np.uint8), (black, white)


def encode_png(greys: NDArray[np.uint8]) -> bytes:
    """Encode (rows, columns) as a PNG of 8-bit grey."""
    rows, columns = greys.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), greys], axis=1)  # each begins with its filter: none

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", head)
        + part(b"IDAT", zlib.compress(lines.tobytes(), 9))
        + part(b"IEND", b"")
    )
