"""The accuracy of a cutoff from a two-by-two table."""
