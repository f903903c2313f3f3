"""Remission step by step."""
