"""Figures: what all share, one file a model, and the register that reports draw from."""
