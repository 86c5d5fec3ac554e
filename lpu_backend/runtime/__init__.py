"""The serving runtime: the Llama forward pass, its numerics, the caches, and the choice of tokens."""
