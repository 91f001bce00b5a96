import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from extractors.layout import Layout
from extractors.schema import SCHEMA_PATH, layout_schema

FRAMES: dict[str, Any] = {"dtype": "<u2", "axes": "tyx", "rows": 3, "columns": 4}
VOLUMES: dict[str, Any] = {**FRAMES, "axes": "tczyx", "planes": 2, "channels": 2}
LAST: dict[str, Any] = {**FRAMES, "axes": "yxt", "samples": 5}


def problems(fields: dict[str, Any]) -> dict[str, str]:
    """Place -> message of every problem."""
    with pytest.raises(ValidationError) as caught:
        Layout.model_validate(fields)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({**FRAMES, "dtype": "u2"}, "dtype", "byte order"),
        ({**FRAMES, "dtype": "<c8"}, "dtype", "byte order"),
        ({**FRAMES, "dtype": "<u2\n"}, "dtype", "byte order"),
        ({**FRAMES, "dtype": "O"}, "dtype", "byte order"),
        ({**FRAMES, "axes": "ty"}, "axes", "each once"),
        ({**FRAMES, "axes": "tyxx"}, "axes", "each once"),
        ({**FRAMES, "axes": "tyxq"}, "axes", "each once"),
        ({**FRAMES, "axes": ""}, "axes", "each once"),
        ({**FRAMES, "rows": 0}, "rows", "greater than or equal to 1"),
        ({**FRAMES, "rows": -3}, "rows", "greater than or equal to 1"),
        ({**FRAMES, "rows": True}, "rows", "valid integer"),
        ({**FRAMES, "rows": 3.0}, "rows", "valid integer"),
        ({**FRAMES, "rows": "3"}, "rows", "valid integer"),
        ({**FRAMES, "rows": 2**63}, "rows", "less than or equal to 9223372036854775807"),
        ({**FRAMES, "version": 2}, "version", "1"),
        ({**FRAMES, "version": True}, "version", "must be an integer"),
        ({**FRAMES, "version": 1.0}, "version", "must be an integer"),
        ({**FRAMES, "planes": 2}, "planes", 'needs the letter z in axes, which is "tyx"'),
        ({**FRAMES, "channels": 2}, "channels", 'needs the letter c in axes, which is "tyx"'),
        ({**FRAMES, "flyback_planes": 1}, "flyback_planes", 'needs the letter z in axes, which is "tyx"'),
        ({**FRAMES, "axes": "tcyx"}, "", 'axes "tcyx" needs channels'),
        ({**FRAMES, "axes": "tczyx"}, "", 'axes "tczyx" needs planes and channels'),
        ({**FRAMES, "axes": "yxt"}, "samples", "must be declared where t is not the slowest axis"),
        ({**FRAMES, "samples": 0}, "samples", "greater than or equal to 1"),
        ({**FRAMES, "offset_bytes": -1}, "offset_bytes", "greater than or equal to 0"),
        ({**LAST, "frame_header_bytes": 1}, "frame_header_bytes", "needs t as the slowest axis"),
        ({**LAST, "frame_trailer_bytes": 1}, "frame_trailer_bytes", "needs t as the slowest axis"),
        ({**LAST, "partial_tail": "drop"}, "partial_tail", "needs t as the slowest axis"),
        ({**LAST, "files": ["a", "b"]}, "files", "needs t as the slowest axis"),
        ({**LAST, "timestamps": {"offset_bytes": 0, "fields": [["<u4", 1]]}}, "timestamps", "needs t as the slowest"),
        ({**FRAMES, "partial_tail": "drop", "footer_bytes": 1}, "partial_tail", "has no footer"),
        ({**FRAMES, "partial_tail": "ignore"}, "partial_tail", "'refuse' or 'drop'"),
        ({**FRAMES, "row_stride_bytes": 7}, "row_stride_bytes", "is 7, but a row takes 8 bytes"),
        ({**FRAMES, "axes": "txy", "row_stride_bytes": 8}, "row_stride_bytes", "needs x faster than y"),
        ({**FRAMES, "axes": "tyxc", "channels": 3, "row_stride_bytes": 23}, "row_stride_bytes", "takes 24 bytes"),
        ({**FRAMES, "dtype": "<i2", "inverted": True}, "inverted", "unsigned"),
        ({**FRAMES, "inverted": 1}, "inverted", "boolean"),
        ({**FRAMES, "files": []}, "files", "at least one item"),
        ({**FRAMES, "files": "data.raw"}, "files", "tuple"),
        ({**FRAMES, "files": ["a", "a"]}, "files", "twice"),
        ({**FRAMES, "files": ["../a"]}, "files.0", "inside the layout's folder"),
        ({**FRAMES, "files": ["a/../../b"]}, "files.0", "inside the layout's folder"),
        ({**FRAMES, "files": ["a", "/etc/passwd"]}, "files.1", "inside the layout's folder"),
        ({**FRAMES, "files": ["a\0"]}, "files.0", "inside the layout's folder"),
        ({**FRAMES, "files": [""]}, "files.0", "inside the layout's folder"),
        ({**FRAMES, "sampling_frequency_hz": 0}, "sampling_frequency_hz", "greater than or equal to"),
        ({**FRAMES, "sampling_frequency_hz": True}, "sampling_frequency_hz", "valid number"),
        ({**FRAMES, "sampling_frequency_hz": float("nan")}, "sampling_frequency_hz", "finite"),
        ({**FRAMES, "sampling_frequency_hz": float("inf")}, "sampling_frequency_hz", "finite"),
        ({**FRAMES, "sampling_frequency_hz": 10**400}, "sampling_frequency_hz", "number"),
        ({**FRAMES, "sampling_frequency_hz": 5e-324}, "sampling_frequency_hz", "greater than or equal to"),
        ({**FRAMES, "pixel_size_um": [1]}, "pixel_size_um.1", "required"),
        ({**FRAMES, "pixel_size_um": [1, -1]}, "pixel_size_um.1", "greater than or equal to"),
        ({**FRAMES, "plane_spacing_um": 0}, "plane_spacing_um", "greater than or equal to"),
        ({**VOLUMES, "channel_names": ["a"]}, "channel_names", "has 1 names for 2 channels"),
        ({**VOLUMES, "channel_names": ["a", ""]}, "channel_names.1", "at least 1 character"),
        ({**FRAMES, "timestamps": {"offset_bytes": 21, "fields": [["<u4", 1]]}}, "timestamps", "end 25 bytes after"),
        ({**FRAMES, "timestamps": {"offset_bytes": 0, "fields": []}}, "timestamps.fields", "at least one item"),
        ({**FRAMES, "timestamps": {"offset_bytes": 0, "fields": [["u4", 1]]}}, "timestamps.fields.0.0", "byte order"),
        ({**FRAMES, "timestamps": {"offset_bytes": 0, "fields": [["<u4", 0]]}}, "timestamps.fields.0.1", "greater"),
        ({**FRAMES, "vendor": {"a": [1.0, {"b": float("nan")}]}}, "vendor", "NaN"),
        ({**FRAMES, "vendor": {"a": ["\ud800"]}}, "vendor", "surrogates"),
        ({**FRAMES, "vendor": {"\udfff": 1}}, "vendor", "surrogates"),
        ({**FRAMES, "vendor": {"a": b"x"}}, "vendor.a", "JSON"),
        ({**FRAMES, "row": 3}, "row", "not permitted"),
    ],
)
def test_a_broken_rule_is_reported_at_its_field(fields: dict[str, Any], place: str, message: str) -> None:
    found = problems(fields)
    assert list(found) == [place]
    assert message in found[place]


def test_every_problem_is_reported_at_once() -> None:
    fields = {
        "dtype": "u2",
        "axes": "tyx",
        "rows": 0,
        "channels": 2,
        "frame_header_bytes": "8",
        "inverted": 1,
        "files": ["../x"],
        "vendor": {"a": float("inf")},
        "colums": 4,
    }
    expected = "dtype rows columns channels frame_header_bytes inverted files.0 vendor colums"
    assert set(problems(fields)) == set(expected.split())


def test_vendor_metadata_may_be_deep_but_not_without_end() -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}

    assert Layout.model_validate({**FRAMES, "vendor": nested(64)}).vendor == nested(64)
    assert "64 levels" in problems({**FRAMES, "vendor": nested(65)})["vendor"]


@pytest.mark.parametrize(
    "dtype", ["u1", "|i1", "<u1", ">i1", *(f"{o}{k}" for o in "<>" for k in ["u2", "i4", "u8", "f2", "f8"])]
)
def test_every_number_type_is_taken_with_its_byte_order(dtype: str) -> None:
    files = Layout.model_validate({**FRAMES, "dtype": dtype}).resolve([Path("a")], [12 * np.dtype(dtype).itemsize])
    assert files.dtype == np.dtype(dtype)


def test_a_layout_is_the_same_after_json() -> None:
    layout = Layout.model_validate(
        {
            **VOLUMES,
            "files": ["a.raw", "sub/b.raw"],
            "channel_names": ["green", "red"],
            "pixel_size_um": [1, 0.5],
            "timestamps": {"offset_bytes": 0, "fields": [["<u4", 1], ["<u2", 0.001]]},
            "vendor": {"a": [1, None, True, {"b": "ü"}]},
        }
    )
    as_json = layout.model_dump(mode="json")
    assert Layout.model_validate(as_json) == layout
    assert Layout.model_validate(json.loads(json.dumps(as_json))) == layout
    assert Layout.model_validate_json(layout.model_dump_json()) == layout


def test_a_layout_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Layout.model_validate(FRAMES).rows = 4  # type: ignore[misc]


def test_the_shipped_schema_is_the_models() -> None:
    assert json.loads(SCHEMA_PATH.read_text(encoding="utf-8")) == layout_schema(), "run: python -m extractors.schema"


def test_the_schema_describes_every_field_and_allows_no_other() -> None:
    schema = layout_schema()
    for model in (schema, schema["$defs"]["TimestampField"]):
        assert model["additionalProperties"] is False
        assert all(field.get("description") for field in model["properties"].values())
    assert set(schema["properties"]) == {"$schema", *Layout.model_fields}
    assert schema["required"] == ["dtype", "axes", "rows", "columns"]
