"""What only patients of many studies need: `Pooled`."""
