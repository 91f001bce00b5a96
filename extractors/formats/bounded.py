"""Sidecars, read without trusting them: regular files of bounded size, parsed strictly.

The only module that opens a sidecar. Python's `json` takes NaN, repeated keys and numbers beyond any range; a sidecar
may hold none of them.
"""

import json
import math
import os
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from extractors.errors import Code, InputRefused
from extractors.source import open_regular, printable

LIMIT_BYTES = 16 * 2**20
"""No sidecar of the known formats comes near this."""

TOML_LIMIT_BYTES = 64 * 2**10
"""Of TOML: the time `tomllib` takes grows with the square of a dotted key's length."""

_SHOWN = 200  # characters of what was found


def read_bytes(path: Path, *, code: Code, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """The content of a regular file that is not larger than the limit.

    Raises
    ------
    InputRefused
        The file is missing, not regular, unreadable; or (with `code`) larger than the limit.
    """
    with open_regular(path) as (descriptor, status):
        if status.st_size > limit_bytes:
            raise _refusal(path, code, f"at most {limit_bytes} bytes", f"{status.st_size} bytes")
        # One byte more than the limit: the file may have grown since its size was asked for.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise _refusal(path, code, f"at most {limit_bytes} bytes", "more")
    return content


def read_json(path: Path, *, code: Code, limit_bytes: int = LIMIT_BYTES) -> dict[str, Any]:
    """The object in a JSON file: no NaN, no Infinity, no number that overflows, no key twice."""
    return _parse(path, code, "JSON", limit_bytes)


def read_toml(path: Path, *, code: Code, limit_bytes: int = TOML_LIMIT_BYTES) -> dict[str, Any]:
    """The table in a TOML file."""
    return _parse(path, code, "TOML", limit_bytes)


def _parse(path: Path, code: Code, language: str, limit_bytes: int) -> dict[str, Any]:
    content = read_bytes(path, code=code, limit_bytes=limit_bytes)
    try:
        # Editors on Windows put a byte order mark before UTF-8 text.
        text = content.decode("utf-8-sig")
        found = _loads_json(text) if language == "JSON" else tomllib.loads(text)
    except RecursionError as error:
        raise _refusal(path, code, f"a {language} file", "too many levels") from error
    except ValueError as error:  # of decoding, of parsing, of our own rules
        raise _refusal(path, code, f"a {language} file", str(error)) from error
    if not isinstance(found, dict):
        raise _refusal(path, code, f"a {language} object", f"a {type(found).__name__}")
    return found


def _loads_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:40]}, which is beyond every float")
    return number


def _refusal(path: Path, code: Code, expected: str, found: str) -> InputRefused:
    found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    todo = "Correct the file; its fields are described in the documentation and in its JSON Schema."
    return InputRefused(code, path=printable(path), expected=expected, found=found, todo=todo)
