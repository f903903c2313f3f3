"""Building blocks that several generative stories share: plain functions on tensors and arrays."""
