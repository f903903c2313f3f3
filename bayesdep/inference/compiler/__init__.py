"""A small compiler: a rewritten PyTensor graph as one LLVM function, without numba's front end."""
