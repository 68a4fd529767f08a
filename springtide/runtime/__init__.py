"""What every process needs: settings, clocks, Kafka clients, logs, metrics, health, shutdown. Knows no domain."""
