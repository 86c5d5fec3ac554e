"""Assembly text: programs as people write them. docs/assembly.md has the grammar."""

from lpu_backend.assembly.assembler import assemble
from lpu_backend.assembly.disassembler import disassemble
from lpu_backend.assembly.errors import AssemblyError
from lpu_backend.assembly.forms import format_instruction

__all__ = ["AssemblyError", "assemble", "disassemble", "format_instruction"]
