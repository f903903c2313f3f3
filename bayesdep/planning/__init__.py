"""Plans before they are run: written from a table, checked, explained, and those that are shipped."""
