"""JSON bytes to frozen structs and back; the one place that knows the encoding."""

from typing import Final, TypeVar

import msgspec

from springtide.contracts.control import AnyCommand
from springtide.contracts.errors import ContractError
from springtide.contracts.events import AnyEvent
from springtide.contracts.truth import AnyTruth

S = TypeVar("S")

encode: Final = msgspec.json.Encoder().encode
"""Encode any struct; field order is declaration order, so equal structs give equal bytes."""

event_decoder: Final = msgspec.json.Decoder(AnyEvent)
truth_decoder: Final = msgspec.json.Decoder(AnyTruth)
command_decoder: Final = msgspec.json.Decoder(AnyCommand)


def decode(payload: bytes, kind: type[S], *, where: str) -> S:
    """Decode one message.

    Raises:
        ContractError: the bytes are no such message; the text names the topic and the field.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.DecodeError as error:
        name = getattr(kind, "__name__", str(kind))
        message = f"{where}: expected {name}, got {payload[:80]!r} ({error}); fix its producer"
        raise ContractError(message, reason="undecodable") from error
