"""A table becomes trustworthy data."""
