"""A real Apache Kafka, one node in KRaft mode, on loopback."""
