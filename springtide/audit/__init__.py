"""What the streams must have said, computed again in batch from stored events; pure, for tests, demo and operators."""
