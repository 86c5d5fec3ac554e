"""The serving runtime: a model graph's forward pass, its numerics, the caches, and the choice of tokens."""
