"""Courses of an outcome over visits, alone or beside courses of censored markers in the same patients."""
