"""Experiment statistics: assignment, estimates, sequential tests, health and verdicts; all pure."""
