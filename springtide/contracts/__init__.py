"""What crosses a process boundary: messages, names, errors. Imports msgspec and the standard library alone."""
