"""What is worth learning, and how much: benchmarks of quality, with seeds."""
