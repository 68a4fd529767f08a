"""The embedded run: a real Kafka broker, a process supervisor, and the demo's story."""
