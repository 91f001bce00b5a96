"""Layout files: `NAME.layout.json` or `NAME.layout.toml` beside the data describe any flat binary.

The fields are those of `extractors.layout.Layout`, and `$schema` for editors.
"""

import difflib
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from extractors.binary import BinaryImagingExtractor
from extractors.errors import Code, InputRefused
from extractors.formats import bounded
from extractors.info import RecordingInfo
from extractors.layout import Layout
from extractors.source import identify, printable

SUFFIXES = (".layout.json", ".layout.toml")
LIMIT_BYTES = 2**20
"""Of a layout file: its content becomes part of the store's metadata, and each of its problems takes memory."""

_SHOWN_PROBLEMS = 20


def claims(path: Path) -> bool:
    """Whether this is a layout file, or a data file with a layout file beside it."""
    return is_layout_file(path) or find_sidecar(path) is not None


def open_file(path: Path, *, sampling_frequency_hz: float | None = None) -> BinaryImagingExtractor:
    """The recording that a layout file describes; `path` is the layout file or one of its data files.

    Raises
    ------
    InputRefused
        The layout is invalid or ambiguous, names a file outside its folder, or does not fit the data.
    """
    sidecar = path if is_layout_file(path) else find_sidecar(path)
    if sidecar is None:
        raise ValueError(f"{path} has no layout file")
    layout = load_layout(sidecar)
    paths = find_data(sidecar, layout)
    sources = tuple(identify(data) for data in paths)
    asked = identify(path)
    if sidecar != path and (asked.device, asked.inode) not in {(source.device, source.inode) for source in sources}:
        raise _refusal(
            sidecar,
            Code.LAYOUT_AMBIGUOUS,
            expected=f"that it describes {path.name}",
            found=f"that it names {_names(paths)}",
            todo=f"Add {path.name} to its files, or describe it in {path.name}.layout.json.",
        )
    files = layout.resolve([Path(source.path) for source in sources], [source.size_bytes for source in sources])
    info = RecordingInfo(
        name=paths[0].stem if len(paths) == 1 else _described_name(sidecar),
        format="layout",
        sampling_frequency_hz=sampling_frequency_hz or layout.sampling_frequency_hz,
        pixel_size_um=layout.pixel_size_um,
        plane_spacing_um=layout.plane_spacing_um,
        channel_names=layout.channel_names,
        layout=layout.model_dump(mode="json"),
        vendor=layout.vendor,
    )
    return BinaryImagingExtractor(files, info, sources, timestamps=layout.resolve_timestamps())


def is_layout_file(path: Path) -> bool:
    """Whether the name is that of a layout file."""
    return path.name.endswith(SUFFIXES)


def find_sidecar(path: Path) -> Path | None:
    """The layout file beside a data file, if there is one: `X.raw.layout.*` comes before `X.layout.*`.

    Raises
    ------
    InputRefused
        LAYOUT_AMBIGUOUS: there is a JSON and a TOML one.
    """
    for name in dict.fromkeys((path.name, path.stem)):
        found = [sidecar for suffix in SUFFIXES if os.path.lexists(sidecar := path.with_name(name + suffix))]
        if len(found) > 1:
            raise _refusal(
                path,
                Code.LAYOUT_AMBIGUOUS,
                expected="one layout file beside it",
                found=_names(found),
                todo="Keep one of them.",
            )
        if found:
            return found[0]
    return None


def load_layout(path: Path) -> Layout:
    """The layout in a layout file.

    Raises
    ------
    InputRefused
        LAYOUT_INVALID, with every problem and its place; or the file cannot be read.
    """
    code = Code.LAYOUT_INVALID
    if path.suffix == ".json":
        return validate_layout(bounded.read_json(path, code=code, limit_bytes=LIMIT_BYTES), path)
    return validate_layout(bounded.read_toml(path, code=code), path)


def validate_layout(fields: Mapping[str, Any], path: Path) -> Layout:
    """The layout with these fields; every problem that they have is in the one error."""
    fields = {name: value for name, value in fields.items() if name != "$schema"}
    try:
        return Layout.model_validate(fields)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    more = len(problems) - _SHOWN_PROBLEMS
    shown = "; ".join(map(_problem, problems[:_SHOWN_PROBLEMS])) + (f"; and {more} more" if more > 0 else "")
    raise _refusal(
        path,
        Code.LAYOUT_INVALID,
        expected="a valid layout",
        found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: {shown}",
        todo="Correct the layout file.",
    )


def find_data(sidecar: Path, layout: Layout) -> tuple[Path, ...]:
    """The data files that a layout file describes, none of which lies outside its folder.

    Raises
    ------
    InputRefused
        PATH_ESCAPES: a symbolic link leads out of the folder. LAYOUT_AMBIGUOUS: the layout names no file, and several
        have its name. SOURCE_MISSING: none has.
    """
    folder = sidecar.parent
    paths = tuple(folder / name for name in layout.files) if layout.files else (_namesake(sidecar),)
    real_folder = Path(os.path.realpath(folder))
    for path in paths:
        if not (target := Path(os.path.realpath(path))).is_relative_to(real_folder):
            raise _refusal(
                sidecar,
                Code.PATH_ESCAPES,
                expected=f"data files inside {printable(real_folder)}",
                found=f"{path.name}, which leads to {printable(target)}",
                todo="Put the layout file beside the real data file, or copy the data here.",
            )
    return paths


def _namesake(sidecar: Path) -> Path:
    name = _described_name(sidecar)
    exact = sidecar.with_name(name)
    if os.path.lexists(exact) and not exact.is_dir():
        return exact
    try:
        with os.scandir(sidecar.parent) as entries:
            found = sorted(entry.name for entry in entries if Path(entry.name).stem == name and not entry.is_dir())
    except OSError:
        found = []
    if len(found) == 1:
        return sidecar.with_name(found[0])
    raise _refusal(
        sidecar,
        Code.LAYOUT_AMBIGUOUS if found else Code.SOURCE_MISSING,
        expected=f"one data file {name} or {name}.* beside it",
        found=", ".join(found[:_SHOWN_PROBLEMS]) or "none",
        todo="Name the data in the layout's files.",
    )


def _described_name(sidecar: Path) -> str:
    return sidecar.name.removesuffix(SUFFIXES[0]).removesuffix(SUFFIXES[1])


def _names(paths: list[Path] | tuple[Path, ...]) -> str:
    return ", ".join(printable(path.name) for path in paths)


def _problem(details: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in details["loc"])
    match details["type"]:
        case "missing":
            return f"{place} is missing"
        case "extra_forbidden":
            near = difflib.get_close_matches(str(details["loc"][-1]), Layout.model_fields, n=1)
            return f"{_shortened(place)} is not a field" + (f" (is it {near[0]}?)" if near else "")
        case "rule":
            return f"{place} {details['msg']}" if place else str(details["msg"])
        case _:
            message = details["msg"][:1].lower() + details["msg"][1:]
            return f"{place}: {message}, not {reprlib.repr(details['input'])}"


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004


def _refusal(path: Path, code: Code, *, expected: str, found: str, todo: str) -> InputRefused:
    return InputRefused(code, path=printable(path), expected=expected, found=found, todo=todo)
