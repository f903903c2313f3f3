"""Random-effects meta-analysis of study results."""
