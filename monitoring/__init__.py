"""The page: what every process reports, quality of what was served, experiments, and the truth beside them."""
