"""From a job's row and its sealed payload to how the tokens of one of its choices are sampled, and what they show."""

from typing import Any

from inference.models import Job
from inference.payloads import PromptPayload
from lpu_backend import SamplingParams, StepLogprobs, TokenLogprob

LEAST_LOGPROB = -9999.0
"""What the API shows for a token that cannot be: JSON has no infinity."""


def params_of(job: Job, prompt: PromptPayload, choice: int = 0) -> SamplingParams:
    """How choice `choice` (from 0) is sampled. Choice 0 is what a job of one choice gets; the others differ by seed."""
    return SamplingParams(
        max_completion_tokens=job.max_completion_tokens,
        temperature=job.temperature,
        top_p=job.top_p,
        seed=job.seed + choice,
        stop=tuple(prompt.stop),
        top_k=prompt.top_k,
        min_p=prompt.min_p,
        frequency_penalty=prompt.frequency_penalty,
        presence_penalty=prompt.presence_penalty,
        logit_bias=tuple(prompt.logit_bias),
        top_logprobs=prompt.top_logprobs,
        constraint=prompt.constraint,
    )


def logprobs_of(logprobs: StepLogprobs | None) -> dict[str, Any] | None:
    """One entry of the API's `logprobs.content`; None where none was asked for."""
    if logprobs is None:
        return None
    return {**_as_entry(logprobs.sampled), "top_logprobs": [_as_entry(token) for token in logprobs.top]}


def _as_entry(token: TokenLogprob) -> dict[str, Any]:
    """`bytes` joined over tokens is the answer even where a character lies in two of them and `token` cannot be."""
    return {
        "token": token.token_bytes.decode("utf-8", errors="replace"),
        "logprob": max(token.logprob, LEAST_LOGPROB),
        "bytes": list(token.token_bytes),
    }
