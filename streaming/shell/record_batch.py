"""Many records of one partition as one message of Faust.

Faust takes 77 µs for each message on its way from the fetcher to an agent, most of it in futures and queues: several
times what joining one takes. What the fetcher hands out together goes that way together.
"""

from collections.abc import Sequence
from typing import Any

from faust.types import TP
from faust.types.tuples import ConsumerMessage


class RecordBatch(ConsumerMessage):  # type: ignore[misc]
    """A run of records, in order; to Faust it is one message with the offset of the last of them.

    The last one's, so that Faust's own bookkeeping ("read up to here") stays true; what is committed is decided by
    finished triggers alone.
    """

    __slots__ = ("records",)

    def __init__(self, tp: TP, records: Sequence[Any], generation_id: int) -> None:
        last = records[-1]
        super().__init__(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type, None, b"", b"", None,
            tp=tp, generation_id=generation_id,
        )  # fmt: skip
        self.records = records
        """As aiokafka read them: offset, key, value, timestamp."""
