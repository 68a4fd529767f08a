"""Feeds a real behaviour log through the topics that the simulated users use."""
