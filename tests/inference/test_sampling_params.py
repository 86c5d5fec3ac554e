"""From a job and its sealed payload to sampling parameters."""

from inference.models import Job
from inference.payloads import PromptPayload, new_payload_key, open_prompt, seal_payload
from inference.sampling_params import logprobs_of, params_of
from lpu_backend import Constraint, SamplingParams, StepLogprobs, TokenLogprob

JOB = Job(id="req_x", temperature=0.5, top_p=0.9, seed=2**63 - 1, max_completion_tokens=7, prompt_tokens=3)
FULL = PromptPayload(
    prompt_ids=[1, 2, 3],
    stop=["end"],
    top_k=5,
    min_p=0.1,
    frequency_penalty=0.5,
    presence_penalty=-0.5,
    logit_bias=[(3, 1.5)],
    top_logprobs=2,
    constraint=Constraint("json_schema", '{"type": "object"}'),
)


def test_every_parameter_travels_through_the_sealed_payload() -> None:
    key = new_payload_key()
    opened = open_prompt(key, "req_x", seal_payload(key, "req_x", FULL))
    assert params_of(JOB, opened) == SamplingParams(
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=2**63 - 1,
        stop=("end",),
        top_k=5,
        min_p=0.1,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        logit_bias=((3, 1.5),),
        top_logprobs=2,
        constraint=Constraint("json_schema", '{"type": "object"}'),
    )


def test_choices_differ_by_their_seed_alone() -> None:
    first, third = params_of(JOB, FULL), params_of(JOB, FULL, choice=2)
    assert (first.seed, third.seed) == (2**63 - 1, 2**63 + 1)
    assert {name for name in first.__slots__ if getattr(first, name) != getattr(third, name)} == {"seed"}


def test_logprobs_are_shown_as_the_api_has_them() -> None:
    token = TokenLogprob(5, "é".encode()[:1], -0.25)
    impossible = TokenLogprob(6, b"a", float("-inf"))
    assert logprobs_of(StepLogprobs(token, (token, impossible))) == {
        "token": "\ufffd",
        "logprob": -0.25,
        "bytes": [0xC3],
        "top_logprobs": [
            {"token": "\ufffd", "logprob": -0.25, "bytes": [0xC3]},
            {"token": "a", "logprob": -9999.0, "bytes": [97]},
        ],
    }
    assert logprobs_of(None) is None
