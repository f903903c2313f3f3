"""Events by arm and subgroup."""
