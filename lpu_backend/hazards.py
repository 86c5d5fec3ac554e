"""What a chip would have corrupted in silence and the emulator refuses, found by the checker or met by the machine."""

from dataclasses import dataclass
from enum import Enum

from lpu_backend.exceptions import LpuBackendError


class HazardKind(Enum):
    """What went wrong.

    Only these can depend on data: PERMUTATION, ECC, and ADDRESS, UNWRITTEN and BANK_CONFLICT by a Gather or Scatter.
    """

    BANK_CONFLICT = "bank conflict"
    STREAM_CONFLICT = "two producers on one stream register"
    OPERAND_MISSING = "operand not on the stream"
    UNWRITTEN = "read of an address never written"
    ADDRESS = "address outside the slice"
    QUEUE_OVERFLOW = "instruction queue overflow"
    QUEUE_UNDERFLOW = "instruction queue empty while it fetches"
    BAD_INSTRUCTION = "not an instruction of this queue"
    DEADLOCK = "Sync without Notify"
    ISSUE_INTERVAL = "unit still busy"
    WEIGHTS = "weights not loaded"
    PRODUCT = "product not there, or not taken"
    ACCUMULATOR = "accumulator never set, or of another type"
    ALU_RESULT = "ALU result not there"
    PERMUTATION = "map is not a bijection"
    LINK = "link not ready"
    ECC = "uncorrectable bits"


@dataclass(frozen=True, slots=True)
class Hazard:
    """One refusal. `cycle` is that of the southernmost tile, when the conflict takes place."""

    kind: HazardKind
    chip: int
    cycle: int
    queue: str
    instruction: str
    detail: str

    def __str__(self) -> str:
        where = f"chip {self.chip}, cycle {self.cycle}, {self.queue}"
        return f"{where}, `{self.instruction}`: {self.kind.value}: {self.detail}"


class HazardError(LpuBackendError):
    """Raised at a hazard; `hazard` says what, where and when."""

    def __init__(self, hazard: Hazard) -> None:
        super().__init__(str(hazard))
        self.hazard = hazard
