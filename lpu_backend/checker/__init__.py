"""The static checker: a program's hazards and its exact cycle count, without computing any data."""

from lpu_backend.checker.schedule import Schedule, ScheduledDispatch, check_program, list_hazards

__all__ = ["Schedule", "ScheduledDispatch", "check_program", "list_hazards"]
