"""Faust's Kafka transport with four promises that it does not make by itself.

Faust 0.15.3 may commit an offset whose output was never delivered: its flush gives up after 0.1 s, failed sends are
only logged, an exception in an agent acknowledges the event, and a gap at the head of the acknowledged offsets is
jumped over (reference: reading of its source, and upstream reports 606, 596, 692, 707). Here

- `flush` waits until the broker has everything that was handed over, table changes included;
- a message that cannot be delivered ends the process at once;
- the offset to commit is not deduced from acknowledgements: it is what a finished trigger has released;
- after a rebalance a partition without a commit is read again from its beginning.

And it reads and sends in batches, see docs/decisions/faust-batches.md.
"""

from faust.transport.drivers import aiokafka as driver

from streaming.shell.consumer import ReleasedConsumer
from streaming.shell.producer import StrictProducer


class StrictTransport(driver.Transport):  # type: ignore[misc]
    """Makes the producer and the consumer that keep them."""

    Producer = StrictProducer
    Consumer = ReleasedConsumer
