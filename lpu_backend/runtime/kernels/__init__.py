"""docs/numerics.md once more, compiled by numba: the same bits as `chip_numerics`, which tests compare it with.

Importing a module of this package imports numba, which takes a while: only serving does. Nothing here may be compiled
with `fastmath`, and no step be written so that a compiler may fuse or reorder it.
"""
