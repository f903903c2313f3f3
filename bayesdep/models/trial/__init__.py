"""A continuous outcome over visits, by arm: a mixed model for repeated measures."""
