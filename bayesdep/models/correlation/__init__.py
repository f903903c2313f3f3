"""A censored biomarker and a continuous score."""
