"""Everything this package raises on purpose."""


class LpuBackendError(Exception):
    """Base of every error of this package. Only a ConstraintError's message holds what a caller sent."""


class CheckpointError(LpuBackendError):
    """A checkpoint folder that cannot be served; the message names the file and the field."""


class ChatTemplateError(LpuBackendError):
    """Messages that the checkpoint's chat template refuses."""


class PromptError(LpuBackendError, ValueError):
    """Prompt ids that the model cannot take: none, outside the vocabulary, or too many for the context window."""


class SamplingParamsError(LpuBackendError, ValueError):
    """Sampling parameters outside their range."""


class ConstraintError(SamplingParamsError):
    """A schema or grammar that answers cannot be held to; the message says why, and may quote it."""


class CompileError(LpuBackendError):
    """A model, or a program, that these chips cannot run: the message names what and why."""
