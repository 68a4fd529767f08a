"""Reads features back: the newest online for serving, those of a moment for training, and how far the two differ.

Feast is imported when a reader is made, not with the module: it takes seconds and hundreds of megabytes.
"""
