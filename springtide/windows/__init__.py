"""Chooses label windows by measurement: delay curves from stored events, and the windows that catch enough of them."""
