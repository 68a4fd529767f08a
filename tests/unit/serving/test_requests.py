from __future__ import annotations

import json

import pytest

from serving.gateway.requests import BadRequest, read_request

GOOD = {"user_id": "u1", "event_time_ms": 1}


def test_a_good_request_is_read() -> None:
    request = read_request(json.dumps({**GOOD, "size": 3, "exclude": ["i1"]}).encode())
    assert (request.user_id, request.size, request.exclude) == ("u1", 3, ["i1"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": 0}, "size"),
        ({"size": 51}, "size"),
        ({"size": "ten"}, "size"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "u" * 201}, "user_id"),
        ({"event_time_ms": -1}, "event_time_ms"),
        ({"request_id": "r" * 201}, "request_id"),
        ({"exclude": ["i"] * 1001}, "exclude"),
        ({"exclude": [1]}, "exclude[0]"),
        ({"context": {"device": 3}}, "context.device"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(json.dumps({**GOOD, **change}).encode())
    assert (caught.value.status, caught.value.field) == (422, field)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(b'{"user_id": "u1"}')
    assert (caught.value.status, caught.value.field) == (422, "event_time_ms")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"user_id": "u1",}'])
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(body)
    assert caught.value.status == 400
