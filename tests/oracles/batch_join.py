"""The batch join that rows are held against lives with the product: operators audit with it too."""

from springtide.audit.batch_join import Differences, batch_join, compare

__all__ = ["Differences", "batch_join", "compare"]
