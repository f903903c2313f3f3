"""Patients who have every treatment in turn."""
