"""The cluster: what it has, what a model asks of it, and which chips an instance gets. Pure: state comes and goes."""

from lpu_backend.cluster.fit import ModelFit, fit_model
from lpu_backend.cluster.inventory import Inventory
from lpu_backend.cluster.placement import (
    NoRoomError,
    NoSpareError,
    Placement,
    PlacementError,
    move_instance,
    place_instance,
)

__all__ = [
    "Inventory",
    "ModelFit",
    "NoRoomError",
    "NoSpareError",
    "Placement",
    "PlacementError",
    "fit_model",
    "move_instance",
    "place_instance",
]
