"""What `sidecar gate` costs: the whole command over one description of 5,000 operations, in YAML and in JSON.

`python -m loadtest.gate_cost` writes the descriptions, runs the command as CI does (a new process each time) and prints
the best of three. Half of the surfaces are sensitive, and a part of their operations are findings, so that the search
for lines and the report are in the time.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import yaml

OPERATIONS: Final = 5000
SCHEMAS: Final = 600
TURNS: Final = 3

_SURFACES: Final = ("payments", "orders", "catalogue", "reports", "shipments", "transfers")


def description(operations: int = OPERATIONS) -> dict[str, Any]:
    """A description with so many operations, four to a path, and with shared schemas, parameters and responses."""
    paths: dict[str, Any] = {}
    for number in range(operations // 4):
        surface = _SURFACES[number % len(_SURFACES)]
        paths[f"/v1/{surface}/{number}/items"] = {
            "get": _operation(f"listItems{number}", surface),
            "post": _post(number, surface),
        }
        paths[f"/v1/{surface}/{number}/items/{{id}}"] = {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": _operation(f"getItem{number}", surface),
            "delete": _operation(f"removeItem{number}", surface),
        }
    components = {
        "schemas": {f"Schema{number}": _schema(number) for number in range(SCHEMAS)},
        "parameters": {
            "Key": {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}},
            "Page": {"name": "page", "in": "query", "schema": {"type": "integer"}},
        },
        "responses": {"Problem": {"description": "What went wrong", "content": _content("Schema0")}},
    }
    info = {"title": "A large service", "version": "1.0.0"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


def _operation(name: str, surface: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": [f"{surface}-api"],
        "summary": "One operation of a large service",
        "description": "Words about what it does, for whom, and what comes back.\n\nAnd a second paragraph.",
        "parameters": [{"$ref": "#/components/parameters/Page"}],
        "responses": {
            "200": {"description": "It", "content": _content(f"Schema{len(name) % SCHEMAS}")},
            "400": {"$ref": "#/components/responses/Problem"},
            "500": {"$ref": "#/components/responses/Problem"},
        },
    }


def _post(number: int, surface: str) -> dict[str, Any]:
    operation = _operation(f"makeItem{number}", surface)
    operation["requestBody"] = {"required": True, "content": _content(f"Schema{number % SCHEMAS}")}
    if number % 2:
        operation["x-idempotency"] = {"strategy": ["key", "ledger"], "retention": "24h", "ledger": "/reference"}
        operation["parameters"].append({"$ref": "#/components/parameters/Key"})
        operation["responses"] |= {"409": {"description": "Running"}, "422": {"description": "Reused"}}
    return operation


def _schema(number: int) -> dict[str, Any]:
    fields = {f"field{index}": {"type": "string", "description": "One field"} for index in range(8)}
    fields["reference"] = {"type": "string", "maxLength": 64}
    part = {"$ref": f"#/components/schemas/Schema{number + 1}"} if number + 1 < SCHEMAS else {}
    return {
        "allOf": [{"type": "object", "required": ["reference"], "properties": fields}, {"properties": {"part": part}}]
    }


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def main() -> None:
    """Measure and print."""
    command = str(Path(sys.executable).with_name("sidecar"))
    whole = description()
    with tempfile.TemporaryDirectory() as folder:
        for form in ("yaml", "json"):
            file = Path(folder, f"openapi.{form}")
            text = json.dumps(whole, indent=2) if form == "json" else yaml.safe_dump(whole, sort_keys=False)
            file.write_text(text, encoding="utf-8")
            words = [command, "gate", str(file)]
            seconds = []
            for _ in range(TURNS):
                began = time.perf_counter()
                done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)
                seconds.append(time.perf_counter() - began)
            last = done.stdout.splitlines()[-1]
            said = f"{OPERATIONS} operations, {len(text) / 1e6:.1f} MB: {min(seconds):.2f} s"
            print(f"{form}: {said}, exit {done.returncode}, {last}")


if __name__ == "__main__":
    main()
