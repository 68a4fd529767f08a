"""Bytes to a request that keeps its rules, or a refusal that names the field."""

import re
from typing import Final

import msgspec

from springtide.contracts.scoring import MAX_SLATE, SlateRequest

MAX_ID: Final = 200
"""Longest id, in characters."""
MAX_EXCLUDE: Final = 1000

_decoder: Final = msgspec.json.Decoder(SlateRequest)
_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?$", re.DOTALL)
_NAMED: Final = re.compile(r"field `(?P<field>[^`]+)`")


class BadRequest(Exception):
    """A request that cannot be answered: HTTP status, field and reason."""

    def __init__(self, status: int, field: str, message: str) -> None:
        super().__init__(f"{field or 'body'}: {message}")
        self.status, self.field, self.message = status, field, message


def read_request(body: bytes) -> SlateRequest:
    """Decode and check one request.

    Raises:
        BadRequest: 400 for a body that is no JSON, 422 for a field that breaks its rule.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _AT.match(text)
        at, named = (found["field"] if found else "") or "", _NAMED.search(text)
        field = ".".join(part for part in (at, named["field"] if named else "") if part)
        raise BadRequest(422, field, found["what"] if found else text) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(400, "", f"expected a JSON object, got {error}") from error
    for field, message in _broken(request):
        raise BadRequest(422, field, message)
    return request


def _broken(request: SlateRequest) -> list[tuple[str, str]]:
    found = []
    if not 1 <= len(request.user_id) <= MAX_ID:
        found.append(("user_id", f"expected 1 to {MAX_ID} characters, got {len(request.user_id)}"))
    if len(request.request_id) > MAX_ID:
        found.append(("request_id", f"expected at most {MAX_ID} characters, got {len(request.request_id)}"))
    if request.event_time_ms < 0:
        found.append(("event_time_ms", f"expected milliseconds since 1970, got {request.event_time_ms}"))
    if not 1 <= request.size <= MAX_SLATE:
        found.append(("size", f"expected 1 to {MAX_SLATE}, got {request.size}"))
    if len(request.exclude) > MAX_EXCLUDE:
        found.append(("exclude", f"expected at most {MAX_EXCLUDE} items, got {len(request.exclude)}"))
    return found
