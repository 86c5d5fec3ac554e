"""From a torch.export program to a graph."""

from lpu_backend.graph.exported.program import import_program

__all__ = ["import_program"]
