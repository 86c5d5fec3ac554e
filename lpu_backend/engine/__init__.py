"""The serving engine of a checkpoint: continuous batching over pages of keys and values that answers share."""
