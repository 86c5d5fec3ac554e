"""One representation of a model, whatever it came from: nodes over rows of channels, one row a token."""
