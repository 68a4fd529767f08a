"""The real feature job on a real broker: its rows are a brute-force count's, killed or not."""

from pathlib import Path

from springtide.contracts.catalogue import CatalogueItem
from springtide.contracts.codec import encode
from springtide.contracts.topics import CATALOGUE, FEATURES
from springtide.runtime.config import KafkaConfig
from springtide.runtime.kafka import make_producer
from tests.integration.streaming.traffic import is_done, make_traffic
from tests.integration.streaming.worker_process import StreamProcess, count_of, read_records, send_events, wait_until
from tests.oracles.batch_features import check_rows, decode_rows
from tests.oracles.streams import HOUR

FEATURES_ROLE = ("streaming.role=features", "features.trigger_records=50")
ITEMS = {f"i{number}": (f"c{number % 3}", float(number)) for number in range(7)}
KEPT_ITEMS = 'springtide_feature_entities{entity="item"}'
KEPT_USERS = 'springtide_feature_entities{entity="user"}'


def send_catalogue(kafka: KafkaConfig) -> None:
    producer = make_producer(kafka)
    for item_id, (category, price) in ITEMS.items():
        item = CatalogueItem(
            item_id=item_id, category=category, price=price, born_ms=0, available=True, event_time_ms=0
        )
        producer.send(kafka.topic(CATALOGUE.name), key=item_id.encode(), value=encode(item))
    producer.flush()
    producer.close()


def test_a_killed_worker_changes_no_count(kafka_config: KafkaConfig, tmp_path: Path) -> None:
    events, sent = make_traffic(4, slates=60, until_ms=9 * 24 * HOUR)
    send_catalogue(kafka_config)
    send_events(kafka_config, sent)
    group = f"{kafka_config.topic_prefix}springtide-features"
    with StreamProcess(kafka_config, tmp_path, *FEATURES_ROLE) as process:
        process.wait_ready()
        wait_until(lambda: process.alive() and count_of(kafka_config, FEATURES.name) > 40, "rows", process.log)
        process.kill()
    with StreamProcess(kafka_config, tmp_path, *FEATURES_ROLE) as process:
        process.wait_ready()
        wait_until(lambda: process.alive() and is_done(kafka_config, sent, group), "all events", process.log)
        wait_until(lambda: process.metrics()[KEPT_ITEMS] == 0, "all items to be forgotten", process.log)
        assert process.metrics()[KEPT_USERS] == 0
        assert process.stop() == 0
    assert check_rows(events, ITEMS, decode_rows(read_records(kafka_config, FEATURES.name))) > 100
