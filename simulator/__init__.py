"""Simulated users of a shop: a world with known probabilities, told to the system as events. Also replays real logs."""
