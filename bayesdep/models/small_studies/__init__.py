"""Meta-analysis where results may have been published for what they found."""
