"""The published JSON schemas of docs/ are those of the types, and hold for what the types write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from labwright.domain import Protocol, RunRecord

ROOT = Path(__file__).parents[3]
PUBLISHED: dict[str, type[BaseModel]] = {"protocol.schema.json": Protocol, "run_record.schema.json": RunRecord}
UPDATE = "LABWRIGHT_UPDATE_DOCS"
MEND = f"write it anew with `{UPDATE}=1 .venv/bin/pytest {Path(__file__).relative_to(ROOT)}` and commit the change"


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **kind.model_json_schema()}


def differences(published: Any, typed: Any, place: str = "") -> list[str]:
    """Places at which the two documents part."""
    if isinstance(published, dict) and isinstance(typed, dict):
        keys = sorted(published.keys() | typed.keys())
        return [line for k in keys for line in differences(published.get(k), typed.get(k), f"{place}/{k}")]
    return [] if published == typed else [f"{place}: published {published!r}, in the type {typed!r}"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schema_is_that_of_the_type(name: str) -> None:
    path, kind = ROOT / "docs" / name, PUBLISHED[name]
    typed = schema_of(kind)
    if os.environ.get(UPDATE) == "1":
        path.write_text(json.dumps(typed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert path.is_file(), f"docs/{name} is missing; {MEND}"
    parts = differences(json.loads(path.read_text(encoding="utf-8")), typed)
    assert not parts, f"docs/{name} is not the schema of {kind.__name__}; {MEND}:\n" + "\n".join(parts)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schema_stands_alone_and_refuses_unknown_fields(name: str) -> None:
    """A reader without labwright can use it: every `$ref` resolves within the file, every object is closed."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    schema = json.loads(text)
    defined = schema.get("$defs", {})
    assert {ref.split('"')[0] for ref in text.split('"$ref": "#/$defs/')[1:]} == set(defined)
    assert '"$ref": "' not in text.replace('"$ref": "#/$defs/', "")
    for thing in (schema, *defined.values()):
        assert thing["additionalProperties"] is False, thing["title"]


def test_a_difference_is_named_by_its_place() -> None:
    typed = schema_of(RunRecord)
    older = json.loads(json.dumps(typed))
    del older["properties"]["seed"]
    older["required"].remove("status")
    assert [line.split(":")[0] for line in differences(older, typed)] == ["/properties/seed", "/required"]
