import random

import pytest
from aiokafka.partitioner import DefaultPartitioner

from streaming.shell.partitioning import partitions_of


@pytest.mark.parametrize("count", [1, 11, 12, 500])
@pytest.mark.parametrize("partitions", [1, 2, 7, 48])
def test_keys_go_where_every_kafka_client_sends_them(count: int, partitions: int) -> None:
    draw = random.Random(f"{count}-{partitions}")
    keys = [draw.randbytes(draw.randrange(0, 45)) for _ in range(count)]
    numbers = list(range(partitions))
    expected = [DefaultPartitioner()(key, numbers, numbers) for key in keys]
    assert partitions_of(keys, numbers) == expected
