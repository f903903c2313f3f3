"""Building blocks that several generative models share: plain functions on tensors and arrays."""
