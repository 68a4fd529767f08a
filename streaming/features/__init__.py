"""Rolling user and item features in event time: pure cores; lists of records in, feature rows out."""
