"""A run from settings to a record, and the runs of a sweep."""
