"""The `zarr.json` files of a store, read without Zarr, and the errors where they are not what they should be."""

import json
from pathlib import Path
from typing import Any

from extractors.errors import Code, InputRefused, StorageFailed, StoreDamaged


def damaged(path: Path, expected: str, found: str) -> StoreDamaged:
    """Give the error for a store that contradicts itself."""
    return StoreDamaged(
        Code.STORE_DAMAGED,
        path=path,
        expected=expected,
        found=found,
        todo="Convert the recording again, or restore this file from a copy.",
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read the `zarr.json` of a node.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        There is none.
    StoreDamaged
        It is not a JSON object.
    StorageFailed
        It cannot be read.
    """
    try:
        node = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as fault:
        raise StorageFailed(
            Code.STORAGE_FAILED,
            path=path,
            expected="a file that can be read",
            found=fault.strerror or str(fault),
            todo="Look after the disk or the file's permissions.",
        ) from fault
    except (ValueError, RecursionError) as fault:
        raise damaged(path, "a JSON object", str(fault)) from fault
    if not isinstance(node, dict):
        raise damaged(path, "a JSON object", f"a {type(node).__name__}")
    return node


def nested(node: dict[str, Any], *keys: str) -> Any:
    """What a node holds under these keys, one in another; None where it holds nothing."""
    value: Any = node
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_group(path: Path) -> dict[str, Any]:
    """Read the `zarr.json` of a store's group.

    Raises
    ------
    InputRefused
        There is nothing, or something else than a group.
    StoreDamaged
        It is not a JSON object.
    StorageFailed
        It cannot be read.
    """
    store = path.parent
    try:
        node = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        if not store.exists():
            raise foreign(store, "nothing there", Code.SOURCE_MISSING) from None
        raise foreign(store, "a folder without zarr.json" if store.is_dir() else "no folder") from None
    if node.get("node_type") != "group" or not isinstance(node.get("attributes", {}), dict):
        raise foreign(store, f"a Zarr node of type {node.get('node_type')!r}")
    return node


def foreign(store: Path, found: str, code: Code = Code.STORE_FOREIGN) -> InputRefused:
    """Give the error for what is not a store of ours."""
    return InputRefused(
        code, path=store, expected="a store that zarrmill published", found=found, todo="Check the path."
    )
