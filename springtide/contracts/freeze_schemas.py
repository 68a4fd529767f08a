"""Writes schemas/NAME.json for every message: `python -m springtide.contracts.freeze_schemas` (`make schemas`).

A snapshot holds the JSON schema and one complete example. The contract tests fail when a struct no longer matches
its snapshot, or when it can no longer read the example; whoever changes a snapshot also writes to CHANGELOG.md what
happens to messages already stored.
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from springtide.contracts.examples import EXAMPLES

FOLDER: Final = Path(__file__).parent / "schemas"


def snapshot(example: msgspec.Struct) -> dict[str, Any]:
    """Describe a message: its JSON schema and an example, as JSON-able values."""
    return {"schema": msgspec.json.schema(type(example)), "example": msgspec.to_builtins(example)}


def main() -> None:
    """Write every snapshot."""
    FOLDER.mkdir(exist_ok=True)
    for name, example in EXAMPLES.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(snapshot(example), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
