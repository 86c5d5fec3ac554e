"""From a model graph to programs of the emulated chips: every instruction has a queue and a cycle before anything runs."""
