import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.errors import Code, InputRefused
from extractors.formats import bounded, layout_file
from extractors.layout import Layout
from extractors.recording import open_recording

FIELDS: dict[str, Any] = {"dtype": "<u2", "axes": "tyx", "rows": 3, "columns": 4}
TOML = 'dtype = "<u2"\naxes = "tyx"\nrows = 3\ncolumns = 4\n'
PIXELS = np.arange(60, dtype="<u2").reshape(5, 3, 4)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "movie.raw"
    path.write_bytes(PIXELS.tobytes())
    return path


def describe(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps({**FIELDS, **fields}), encoding="utf-8")
    return path


def refused(path: Path) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        open_recording(path)
    assert caught.value.todo
    return caught.value


@pytest.mark.parametrize(
    "name", ["movie.raw.layout.json", "movie.layout.json", "movie.raw.layout.toml", "movie.layout.toml"]
)
@pytest.mark.parametrize("by", ["data", "layout"])
def test_a_recording_opens_by_its_data_or_its_layout(data: Path, name: str, by: str) -> None:
    sidecar = data.with_name(name)
    sidecar.write_text(json.dumps(FIELDS) if name.endswith("json") else TOML, encoding="utf-8")
    with open_recording(data if by == "data" else sidecar) as recording:
        assert np.array_equal(recording.get_series()[..., 0], PIXELS)
        assert recording.info.name == "movie"
        assert recording.info.format == "layout"
        assert [source.path for source in recording.sources] == [str(data)]


def test_what_the_layout_knows_is_in_the_info(data: Path) -> None:
    describe(
        data.with_name("movie.layout.json"),
        sampling_frequency_hz=15.625,
        pixel_size_um=[2, 0.5],
        vendor={"objective": "16x"},
    )
    with open_recording(data) as recording:
        assert recording.get_sampling_frequency() == 15.625
        assert recording.info.pixel_size_um == (2, 0.5)
        assert recording.info.vendor == {"objective": "16x"}
        assert recording.info.layout is not None
        assert recording.info.layout["rows"] == 3


def test_several_files_follow_one_another(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name, part in (("parts/b.bin", PIXELS[:2]), ("a.bin", PIXELS[2:])):
        (tmp_path / name).write_bytes(part.tobytes())
    sidecar = describe(tmp_path / "session.layout.json", files=["parts/b.bin", "a.bin"])
    with open_recording(sidecar) as recording:
        assert recording.info.name == "session"
        assert np.array_equal(recording.get_series(1, 4)[..., 0], PIXELS[1:4])


def test_the_layout_of_the_full_name_comes_first(data: Path) -> None:
    describe(data.with_name("movie.layout.json"), rows=1)
    describe(data.with_name("movie.raw.layout.toml"))
    data.with_name("movie.raw.layout.toml").write_text(TOML, encoding="utf-8")
    with open_recording(data) as recording:
        assert recording.get_image_shape() == (3, 4)


def test_a_data_file_without_an_ending_is_found(tmp_path: Path) -> None:
    (tmp_path / "movie").write_bytes(PIXELS.tobytes())
    (tmp_path / "movie.txt").touch()
    with open_recording(describe(tmp_path / "movie.layout.json")) as recording:
        assert recording.get_num_samples() == 5


def test_the_editors_key_and_a_byte_order_mark_are_allowed(data: Path) -> None:
    text = json.dumps({"$schema": "layout.schema.json", **FIELDS})
    data.with_name("movie.layout.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    with open_recording(data) as recording:
        assert recording.get_num_samples() == 5


def test_two_layouts_for_one_file_are_ambiguous(data: Path) -> None:
    describe(data.with_name("movie.layout.json"))
    data.with_name("movie.layout.toml").write_text(TOML, encoding="utf-8")
    error = refused(data)
    assert error.code is Code.LAYOUT_AMBIGUOUS
    assert error.found == "movie.layout.json, movie.layout.toml"


def test_two_data_files_for_one_layout_are_ambiguous(data: Path) -> None:
    data.with_name("movie.xml").touch()
    sidecar = describe(data.with_name("movie.layout.json"))
    for path in (sidecar, data):
        error = refused(path)
        assert error.code is Code.LAYOUT_AMBIGUOUS
        assert error.found == "movie.raw, movie.xml"
        assert "files" in error.todo


def test_a_layout_without_data_says_what_it_looked_for(tmp_path: Path) -> None:
    error = refused(describe(tmp_path / "movie.layout.json"))
    assert error.code is Code.SOURCE_MISSING
    assert "movie.*" in error.expected


def test_a_layout_that_names_other_files_does_not_describe_this_one(data: Path) -> None:
    data.with_name("other.raw").write_bytes(PIXELS.tobytes())
    describe(data.with_name("movie.layout.json"), files=["other.raw"])
    error = refused(data)
    assert error.code is Code.LAYOUT_AMBIGUOUS
    assert error.found == "that it names other.raw"


@pytest.mark.parametrize("by", ["data", "layout"])
def test_a_named_file_that_is_missing_is_refused(data: Path, by: str) -> None:
    sidecar = describe(data.with_name("movie.layout.json"), files=["gone.raw", "movie.raw"])
    error = refused(data if by == "data" else sidecar)
    assert error.code is Code.SOURCE_MISSING
    assert error.path == str(data.with_name("gone.raw"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["movie.raw.layout.json", "odd.layout.json", "other.layout.json"])
def test_a_fifo_is_refused_without_waiting(data: Path, name: str) -> None:
    """As the data, as the layout file beside it, and as one that is opened itself."""
    fifo = data.with_name("odd.raw" if name.startswith("odd") else name)
    os.mkfifo(fifo)
    if name.startswith("odd"):
        describe(data.with_name(name))
    error = refused(data if name.startswith("movie") else data.with_name(name))
    assert error.code is Code.SOURCE_NOT_REGULAR
    assert error.path == str(fifo)
    assert error.found == "a FIFO"


@pytest.mark.parametrize("by", ["files", "name", "folder"])
def test_a_symlink_that_leaves_the_folder_is_refused(data: Path, by: str) -> None:
    inside = data.with_name("inside")
    inside.mkdir()
    fields: dict[str, Any] = {}
    if by == "folder":
        (inside / "out").symlink_to(data.parent)
        fields = {"files": ["out/movie.raw"]}
    else:
        (inside / "link.raw").symlink_to(data)
        fields = {"files": ["link.raw"]} if by == "files" else {}
    error = refused(describe(inside / "link.layout.json", **fields))
    assert error.code is Code.PATH_ESCAPES
    assert str(data) in error.found


@pytest.mark.parametrize("name", ["../movie.raw", "{folder}/movie.raw", "x/../../movie.raw"])
def test_a_name_that_leaves_the_folder_is_refused(data: Path, name: str) -> None:
    inside = data.with_name("inside")
    inside.mkdir()
    error = refused(describe(inside / "a.layout.json", files=[name.format(folder=data.parent)]))
    assert error.code is Code.LAYOUT_INVALID
    assert "files.0" in error.found


def test_a_symlink_that_stays_in_the_folder_is_followed(data: Path) -> None:
    data.with_name("latest.raw").symlink_to(data.name)
    with open_recording(describe(data.with_name("latest.raw.layout.json"))) as recording:
        assert recording.get_num_samples() == 5


def test_a_folder_that_is_reached_by_a_symlink_is_no_escape(data: Path) -> None:
    describe(data.with_name("movie.layout.json"))
    alias = data.parent.parent / f"{data.parent.name}-alias"
    alias.symlink_to(data.parent)
    with open_recording(alias / "movie.raw") as recording:
        assert recording.get_num_samples() == 5


@pytest.mark.parametrize("size", [119, 121, 96, 0])
def test_a_size_that_does_not_fit_is_refused(data: Path, size: int) -> None:
    describe(data.with_name("movie.layout.json"), samples=5)
    os.truncate(data, size)
    error = refused(data)
    assert error.code is Code.SIZE_MISMATCH
    assert error.path == str(data)
    assert "120 bytes" in error.expected
    assert f"{size} bytes" in error.found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Expecting value"),
        ("[1, 2]", "a list"),
        ("null", "a NoneType"),
        ("{", "line 1"),
        ('{"rows": 3, "rows": 4}', "the key 'rows' twice"),
        ('{"vendor": {"a": {"b": 1, "b": 1}}}', "the key 'b' twice"),
        ('{"rows": NaN}', "NaN, which is not JSON"),
        ('{"rows": Infinity}', "Infinity, which is not JSON"),
        ('{"rows": -Infinity}', "-Infinity, which is not JSON"),
        ('{"sampling_frequency_hz": 1e999}', "1e999, which is beyond every float"),
        ('{"rows": ' + "1" * 5000 + "}", "digits"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "too many levels"),
        ("[" * 500_000, "too many levels"),
    ],
)
def test_wrong_json_is_refused(data: Path, text: str, told: str) -> None:
    data.with_name("movie.layout.json").write_text(text, encoding="utf-8")
    error = refused(data)
    assert error.code is Code.LAYOUT_INVALID
    assert told in error.found
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rows", "Expected '='"),
        ("rows = 1\nrows = 2", "Cannot overwrite"),
        ("a = " + "[" * 50_000, "levels"),
        (TOML + "sampling_frequency_hz = nan", "sampling_frequency_hz: input should be a finite number, not nan"),
        (TOML + "sampling_frequency_hz = inf", "sampling_frequency_hz: input should be a finite number, not inf"),
        (TOML + "[vendor]\nday = 2024-01-01", "vendor.day"),
        (TOML + "[vendor]\nx = nan", "vendor must not hold NaN"),
        (TOML + "[vendor]\n" + ".".join("a" * 2000) + " = 1", "levels deep"),
        (TOML.replace("rows", ".".join("a" * 2000)), "a is not a field"),
        (TOML.replace("3", "{ " + ".".join("a" * 2000) + " = 1 }"), "rows: input should be a valid integer"),
        (TOML.replace("3", '"' + "1" * 50_000 + '"'), "not '1111"),
    ],
)
def test_wrong_toml_is_refused(data: Path, text: str, told: str) -> None:
    data.with_name("movie.layout.toml").write_text(text, encoding="utf-8")
    error = refused(data)
    assert error.code is Code.LAYOUT_INVALID
    assert told in error.found


def test_bytes_that_are_no_text_are_refused(data: Path) -> None:
    data.with_name("movie.layout.json").write_bytes(b'{"dtype": "\xff\xfe"}')
    assert refused(data).code is Code.LAYOUT_INVALID


@pytest.mark.parametrize(("name", "limit"), [("movie.layout.json", 2**20), ("movie.layout.toml", 2**16)])
def test_a_huge_layout_file_is_refused_unread(
    data: Path, name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = data.with_name(name)
    sidecar.touch()
    os.truncate(sidecar, 2**40)
    monkeypatch.setattr(os, "fdopen", None)
    error = refused(data)
    assert error.code is Code.LAYOUT_INVALID
    assert error.expected == f"at most {limit} bytes"
    assert error.found == "1099511627776 bytes"


def test_a_sidecar_may_be_as_large_as_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"12345678")
    assert bounded.read_bytes(path, code=Code.LAYOUT_INVALID, limit_bytes=8) == b"12345678"
    with pytest.raises(InputRefused, match="at most 7 bytes"):
        bounded.read_bytes(path, code=Code.LAYOUT_INVALID, limit_bytes=7)


def test_every_problem_of_a_layout_file_is_in_one_message(data: Path) -> None:
    sidecar = data.with_name("movie.layout.json")
    sidecar.write_text(json.dumps({"dtype": "uint16", "axes": "tyx", "rows": True, "colums": 4, "zzz": 1}))
    error = refused(data)
    assert error.code is Code.LAYOUT_INVALID
    assert error.path == str(sidecar)
    assert error.found.startswith("5 problems: dtype must be a byte order")
    for told in (
        "rows: input should be a valid integer, not True",
        "columns is missing",
        "colums is not a field (is it columns?)",
        "zzz is not a field",
    ):
        assert told in error.found
    assert "pydantic" not in str(error)
    assert "\n" not in str(error)


def test_a_message_stays_short_however_many_problems_there_are(data: Path) -> None:
    describe(data.with_name("movie.layout.json"), **{f"key{i}" * 50: "x" * 500 for i in range(1000)})
    error = refused(data)
    assert "1000 problems" in error.found
    assert error.found.endswith("and 980 more")
    assert len(error.found) < 5000


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(Layout.model_fields)), ANYTHING))
def test_whatever_a_layout_holds_the_error_is_ours(fields: dict[str, Any]) -> None:
    with suppress(InputRefused):
        layout_file.validate_layout({**FIELDS, **fields}, Path("a.layout.json"))


@given(
    st.binary(max_size=200) | st.text(alphabet='{}[]":,0123456789eE+-.nulltruefalseNaI', max_size=40).map(str.encode)
)
def test_whatever_the_bytes_of_a_layout_file_the_error_is_ours(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".layout.json", ".layout.toml"):
            path = Path(folder, f"a{suffix}")
            path.write_bytes(content)
            with pytest.raises(InputRefused) as caught:
                layout_file.load_layout(path)
            assert caught.value.code is Code.LAYOUT_INVALID


def test_an_unreadable_layout_file_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Any, flags: int) -> int:
        if str(path).endswith(".json"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags)

    real = os.open
    monkeypatch.setattr(os, "open", deny)
    sidecar = describe(data.with_name("movie.raw.layout.json"))
    error = refused(data)
    assert error.code is Code.SOURCE_UNREADABLE
    assert error.path == str(sidecar)


def test_a_file_is_only_claimed_for_a_layout(data: Path) -> None:
    assert not layout_file.claims(data)
    describe(data.with_name("other.layout.json"))
    assert not layout_file.claims(data)
    describe(data.with_name("movie.layout.json"))
    assert layout_file.claims(data)
