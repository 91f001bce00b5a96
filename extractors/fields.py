"""The kinds of values that models of a recording hold, each with the rule that makes it valid."""

import re
from math import isfinite
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

# A default is checked too: whether "no sample count" is valid depends on the other fields.
MODEL = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, use_attribute_docstrings=True)

Item = TypeVar("Item")

LARGEST = 2**63 - 1
"""The largest size or offset of a file that the kernel knows."""

RANGE = (1e-12, 1e12)
"""Of frequencies and distances: their reciprocals are ordinary numbers too, as a store's time scale is one."""

_DEEPEST = 64
_DTYPE = r"^([<>|]?[ui]1|[<>]([ui][248]|f[248]))$"


def problem(message: str) -> PydanticCustomError:
    """A broken rule, to be raised by a validator; the message is shown as it is."""
    return PydanticCustomError("rule", "{message}", {"message": message})


def _checked_integer(value: object) -> object:
    # A Literal takes what equals it: 1.0, and True.
    if type(value) is not int:
        raise problem("must be an integer")
    return value


def _checked_dtype(dtype: str) -> str:
    if not re.fullmatch(_DTYPE, dtype):
        raise problem(
            'must be a byte order, < little or > big, and one of u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8, such as "<u2"'
        )
    return dtype


def _checked_axes(axes: str) -> str:
    if len(set(axes)) != len(axes) or not set("tyx") <= set(axes) <= set("tzcyx"):
        raise problem('must be t, y, x, and z and c where they exist, each once, slowest on disk first, such as "tcyx"')
    return axes


def _checked_name(name: str) -> str:
    if not name.isprintable() or {"", ".", ".."} & set(name.split("/")):
        raise problem("must name a file inside the layout's folder, without .. and without control characters")
    return name


def _checked_length(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if not items:
        raise problem("must have at least one item")
    return items


def _checked_json(tree: object) -> object:
    # Before pydantic looks at it, level by level: neither recurses as deep as a hostile file may be.
    level: list[Any] = [tree] if isinstance(tree, dict) else []
    for _ in range(_DEEPEST):
        values = [value for node in level for value in (node.values() if isinstance(node, dict) else node)]
        texts = [value for value in values if isinstance(value, str)]
        texts += [key for node in level if isinstance(node, dict) for key in node if isinstance(key, str)]
        if any(isinstance(value, float) and not isfinite(value) for value in values):
            raise problem("must not hold NaN or Infinity: JSON has neither")
        if any("\ud800" <= letter <= "\udfff" for text in texts for letter in text):
            raise problem("must be Unicode text without lone surrogates")
        level = [value for value in values if isinstance(value, dict | list)]
        if not level:
            return tree
    raise problem(f"must be at most {_DEEPEST} levels deep")


Version = Annotated[Literal[1], BeforeValidator(_checked_integer)]
Dtype = Annotated[
    str,
    AfterValidator(_checked_dtype),
    Field(json_schema_extra={"pattern": _DTYPE, "examples": ["<u2", "u1", ">f4"]}),
]
Axes = Annotated[
    str,
    AfterValidator(_checked_axes),
    Field(json_schema_extra={"pattern": "^[tzcyx]{3,5}$", "examples": ["tyx", "tczyx"]}),
]
FileName = Annotated[str, AfterValidator(_checked_name)]
Label = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Bytes = Annotated[int, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(ge=RANGE[0], le=RANGE[1], allow_inf_nan=False)]
JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_checked_json)]
# JSON and TOML have lists only: one is taken for a tuple; its items stay strict.
Listed = Field(strict=False)
# Not by pydantic's own min_length: that would complain of an item that is invalid, and again of its absence.
NotEmpty = Annotated[
    tuple[Item, ...], AfterValidator(_checked_length), Field(strict=False, json_schema_extra={"minItems": 1})
]
