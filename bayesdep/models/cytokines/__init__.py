"""Panels of censored concentrations, effects partially pooled over analytes."""
