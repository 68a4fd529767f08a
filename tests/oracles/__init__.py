"""Slow, obvious versions of what the system computes incrementally. They share no code with it."""
