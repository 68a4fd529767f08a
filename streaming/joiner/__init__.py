"""The label joiner: a pure core; lists of records in, rows out."""
