"""The network: chips, nodes and racks, and communication that is scheduled before anything runs."""
