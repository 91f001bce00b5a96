"""No module of ours is named like one of the standard library or of a dependency: what is imported is what is read."""

import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGES = ["extractors", "stores", "flows"]


def folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def taken() -> set[str]:
    others = {name for name, owners in packages_distributions().items() if set(owners) != {"zarrmill"}}
    return (others | set(sys.stdlib_module_names)) - {"__init__", "__main__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_named_like_one_that_is_not_ours(package: str) -> None:
    modules = {path.stem for path in folder(package).rglob("*.py")} | {package}
    assert modules - {"__init__", "__main__"}
    assert not modules & taken()


def test_names_of_the_standard_library_and_of_dependencies_are_known() -> None:
    assert {"json", "numpy", "prefect", "zarr"} <= taken()
