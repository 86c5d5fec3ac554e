"""From a model graph to programs of the emulated chips: a queue and a cycle for every instruction, before it runs."""
