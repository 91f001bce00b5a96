"""The JSON Schema of layout files, made from the model; editors complete and check a layout file by it.

`layout.schema.json` beside this module holds it; write it anew by `python -m extractors.schema`.
"""

import json
from pathlib import Path
from typing import Any

from extractors.layout import Layout

SCHEMA_PATH = Path(__file__).with_name("layout.schema.json")


def layout_schema() -> dict[str, Any]:
    """The schema of a layout file, draft 2020-12."""
    schema = Layout.model_json_schema()
    editors_key = {"type": "string", "description": "Where editors find this schema; not read by zarrmill."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "zarrmill layout file",
        "properties": {"$schema": editors_key, **schema["properties"]},
    }


if __name__ == "__main__":
    SCHEMA_PATH.write_text(json.dumps(layout_schema(), indent=2) + "\n", encoding="utf-8")
