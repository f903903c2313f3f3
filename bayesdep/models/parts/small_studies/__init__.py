"""What only `SmallStudies` needs: publication by result, and averaging."""
