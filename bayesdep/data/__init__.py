"""Reading and checking of tables: detection limits, rating scales, effect sizes, published tables."""
