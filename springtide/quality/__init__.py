"""Model quality under delayed labels: mergeable accumulators, label maturity and drift; all pure."""
