"""Example programs in LPU assembly, each with its reference."""
