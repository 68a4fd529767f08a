"""The model that an arm serves: found on disk, verified, swapped. Imports torch."""
