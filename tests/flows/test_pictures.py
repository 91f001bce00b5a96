"""The picture of a run report: what it shows is what is in the recording."""

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray

from flows import pictures
from flows.pictures import Trace, draw, encode_png, read_trace, recording_picture, round_number, stretch, ticks
from stores.convert import convert

SVG = "{http://www.w3.org/2000/svg}"
A_TRACE = Trace(*(np.arange(4.0) + offset for offset in (0, 1, 2)))


def decode_png(content: bytes) -> NDArray[np.uint8]:
    """The pixels of an 8-bit grey PNG without filters; every checksum is checked."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    parts: dict[bytes, bytes] = {}
    at = 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + size]
        assert struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0] == zlib.crc32(body)
        parts[body[:4]] = body[4:]
        at += 12 + size
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    columns, rows, *kind = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert kind == [8, 0, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(rows, columns + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:]


def image_in(svg: str) -> NDArray[np.uint8]:
    element = ET.fromstring(svg).find(f".//{SVG}image")  # noqa: S314 - our own
    assert element is not None
    return decode_png(base64.b64decode(element.attrib["href"].removeprefix("data:image/png;base64,")))


def words_in(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own


def test_a_png_holds_its_pixels() -> None:
    greys = np.random.default_rng(1).integers(0, 256, (7, 5), dtype=np.uint8)
    np.testing.assert_array_equal(decode_png(encode_png(greys)), greys)


def test_one_hot_pixel_does_not_make_the_rest_black() -> None:
    image = np.tile(np.linspace(100, 200, 64, dtype=np.float32), (64, 1))
    image[3, 3] = 60000
    greys, (black, white) = stretch(image)
    assert 99 <= black < 105
    assert 195 < white <= 200
    assert greys[0, 0] == 0
    assert greys[0, 63] == 255
    assert 110 < greys[0, 32] < 145


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_an_image_of_one_value_is_drawn(value: float) -> None:
    greys, limits = stretch(np.full((4, 4), value, np.float32))
    assert (greys == greys[0, 0]).all()
    assert np.isfinite(limits).all()


def test_pixels_that_are_no_numbers_are_black() -> None:
    image = np.array([[np.nan, 1], [2, 3]], np.float32)
    assert stretch(image)[0][0, 0] == 0
    assert stretch(image)[0][1, 1] == 255


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 5000])
@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_a_trace_is_lowest_mean_and_highest_of_equal_spans(
    count: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_BLOCK_SAMPLES", block)
    values = np.random.default_rng(count).normal(size=count)
    asked = []

    def read(start: int, end: int) -> NDArray[np.float64]:
        asked.append(end - start)
        return values[start:end]

    trace = read_trace(read, count)
    spans = (
        np.array_split(values, 1)
        if count == 1
        else np.split(values, np.arange(1, min(count, 512)) * count // min(count, 512))
    )
    np.testing.assert_array_equal(trace.low, [span.min() for span in spans])
    np.testing.assert_allclose(trace.mean, [span.mean() for span in spans])
    np.testing.assert_array_equal(trace.high, [span.max() for span in spans])
    assert max(asked) <= block


def test_a_trace_leaves_out_what_is_no_number() -> None:
    values = np.array([1.0, np.nan, 3.0, np.inf])
    trace = read_trace(lambda start, end: values[start:end], 4)
    np.testing.assert_array_equal(trace.mean, [1, np.nan, 3, np.nan])
    assert "mean intensity" in words_in(draw(np.zeros((4, 4), np.float32), trace, 1.0, None))
    nothing = read_trace(lambda start, end: np.full(end - start, np.nan), 4)
    assert "no finite value" in words_in(draw(np.zeros((4, 4), np.float32), nothing, 1.0, None))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (20.5, 21.65), (0, 256), (-3e-9, 4e-9), (1e8, 1.2e8), (6.65, 7.35), (-0.05, 0.05)]
)
def test_ticks_are_round_lie_inside_and_have_labels_that_differ(low: float, high: float) -> None:
    found = ticks(low, high, 6)
    assert 3 <= len(found) <= 7
    assert all(low <= value <= high for value, _ in found)
    assert len({label for _, label in found}) == len(found)
    assert all(float(label) == pytest.approx(value, abs=1e-12) for value, label in found)


@pytest.mark.parametrize(("most", "found"), [(1, 1), (1.9, 1), (4.9, 2), (5, 5), (99, 50), (0.3, 0.2), (0.001, 0.001)])
def test_round_numbers_are_one_two_five(most: float, found: float) -> None:
    assert round_number(most) == pytest.approx(found)


@pytest.mark.parametrize(
    ("seconds", "unit"), [(0.5, "milliseconds"), (8.5, "seconds"), (600, "minutes"), (9e4, "hours")]
)
def test_the_time_axis_has_a_unit_that_suits_it(seconds: float, unit: str) -> None:
    words = words_in(draw(np.ones((4, 4), np.float32), A_TRACE, seconds, None))
    assert unit in words


def test_a_scale_bar_is_there_where_the_pixel_size_is_known() -> None:
    image = np.ones((4, 4), np.float32)
    assert "50 µm" in words_in(draw(image, A_TRACE, 1, (192, 192)))
    assert "2 mm" in words_in(draw(image, A_TRACE, 1, (8000, 8000)))
    assert not any("m" in word for word in words_in(draw(image, A_TRACE, 1, None)) if word[0].isdigit())


@pytest.mark.parametrize("shape", [(1, 256), (256, 1), (20, 256)])
def test_pictures_of_lines_can_be_seen(shape: tuple[int, int]) -> None:
    svg = draw(np.ones(shape, np.float32), A_TRACE, 1, None)
    element = ET.fromstring(svg).find(f".//{SVG}image")  # noqa: S314 - our own
    assert element is not None
    assert min(float(element.attrib[side]) for side in ("width", "height")) >= 12


@pytest.fixture
def noise(tmp_path: Path) -> dict[str, Any]:
    """A store of the worst case: every pixel of the mean image differs."""
    movie = np.random.default_rng(2).integers(0, 60000, (600, 128, 96), dtype="<u2")
    movie[:300] //= 2
    movie[:, 10:30, 40:60] = 0
    (tmp_path / "noise.raw").write_bytes(movie.tobytes())
    layout = {"dtype": "<u2", "axes": "tyx", "rows": 128, "columns": 96, "sampling_frequency_hz": 60.0}
    (tmp_path / "noise.layout.json").write_text(json.dumps(layout | {"version": 1}))
    report = convert(tmp_path / "noise.raw", tmp_path / "noise.zarr")
    return {"movie": movie, "report": report}


def test_the_picture_of_a_store_shows_its_mean_image_and_trace(noise: dict[str, Any]) -> None:
    report = noise["report"]
    address = recording_picture(report.target, report.metadata)
    assert not set(address) & set(" ()<>\"'\\\n"), "nothing that ends a link in Markdown"
    svg = unquote(address.removeprefix("data:image/svg+xml,"))
    greys = image_in(svg)
    assert greys.shape == (128, 96)
    assert not greys[10:30, 40:60].any(), "the dark square is where it is in the recording"
    assert greys[50:, :].mean() > 60
    words = words_in(svg)
    assert "seconds" in words
    assert {"0", "10"} <= set(words), "ten seconds"
    trace = [element.attrib["d"] for element in ET.fromstring(svg).iter(f"{SVG}path")][-1]  # noqa: S314 - our own
    heights = [float(point.split()[1]) for point in trace[1:].split("L")]
    assert np.mean(heights[:250]) > np.mean(heights[-250:]) + 30, "darker at first; y counts downwards"


def test_a_picture_takes_less_than_200_kilobytes() -> None:
    random = np.random.default_rng(3)
    trace = Trace(*(random.normal(size=512) for _ in range(3)))
    svg = draw(random.random((256, 256)).astype(np.float32), trace, 1e4, (500, 500))
    assert len(svg) < 120_000
