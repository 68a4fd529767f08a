"""The library that Springtide's processes share; it starts no process."""
