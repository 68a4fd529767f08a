"""Frozen schemas: what is stored in Kafka today must be readable tomorrow."""

import json
from typing import Any

import msgspec
import pytest

from springtide.contracts.codec import encode
from springtide.contracts.examples import EXAMPLES
from springtide.contracts.freeze_schemas import FOLDER, snapshot

NAMES = sorted(EXAMPLES)


def frozen(name: str) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return stored


def test_every_message_has_a_snapshot_and_no_snapshot_is_left_over() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_struct_matches_its_frozen_schema(name: str) -> None:
    current = json.loads(json.dumps(snapshot(EXAMPLES[name])))
    assert current == frozen(name), "a message changed: run `make schemas`, and say so in CHANGELOG.md"


@pytest.mark.parametrize("name", NAMES)
def test_stored_example_still_reads(name: str) -> None:
    kind = type(EXAMPLES[name])
    assert msgspec.convert(frozen(name)["example"], kind, strict=False) == EXAMPLES[name]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "slate_request"])
def test_old_reader_survives_a_new_field(name: str) -> None:
    example = EXAMPLES[name]
    payload = {**msgspec.to_builtins(example), "added_later": 1}
    assert msgspec.json.decode(msgspec.json.encode(payload), type=type(example)) == example


def test_slate_request_forbids_unknown_fields_so_that_a_shop_sees_its_typing_errors() -> None:
    payload = {**msgspec.to_builtins(EXAMPLES["slate_request"]), "sise": 3}
    with pytest.raises(msgspec.ValidationError, match="sise"):
        msgspec.convert(payload, type(EXAMPLES["slate_request"]))


@pytest.mark.parametrize("name", NAMES)
def test_equal_structs_give_equal_bytes(name: str) -> None:
    example = EXAMPLES[name]
    again = msgspec.json.decode(encode(example), type=type(example))
    assert encode(again) == encode(example)
