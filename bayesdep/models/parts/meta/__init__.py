"""What tables of studies need: `Meta`, and `SmallStudies` with it."""
