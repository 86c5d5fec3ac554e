"""Trains `lpu-demo`, the demonstration model, on text that this package generates. Nothing is downloaded."""
