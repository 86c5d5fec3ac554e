"""The instruction set: instructions, operands and programs."""
