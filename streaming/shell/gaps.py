"""Tells a hole in a topic (control records of transactions, old records deleted) from records that Faust left out."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

_TIMEOUT_S = 30.0


async def next_offset(servers: list[str], topic: str, partition: int, wanted: int) -> int:
    """Ask the broker itself for the offset of the first record at or after `wanted`.

    Raises:
        TimeoutError: the broker does not answer.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        consumer.seek(tp, wanted)
        record = await asyncio.wait_for(consumer.getone(tp), _TIMEOUT_S)
        return int(record.offset)
    finally:
        await consumer.stop()
