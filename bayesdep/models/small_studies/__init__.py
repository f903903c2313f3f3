"""Meta-analysis where the results may decide which studies are published."""
