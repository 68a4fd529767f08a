"""From a request to a slate: pure code, without Kafka, Ray, Feast or a clock."""
