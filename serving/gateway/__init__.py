"""The HTTP side of serving; it lives in the driver process and never loads a model."""
