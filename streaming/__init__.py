"""The stream process: joins delayed labels to slates, and keeps rolling features. `python -m streaming`."""
