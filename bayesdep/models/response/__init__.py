"""Censored biomarkers as predictors of a binary outcome."""
