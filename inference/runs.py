"""A job that this process computes: its choices, what was made of them, and what its reader has of that.

The engine's thread adds tokens, the publisher's takes them; both under the publisher's lock.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.utils import timezone

from inference.kept_content import Completed
from inference.models import Deployment, Job
from inference.pacing import HardwarePace
from inference.payloads import PromptPayload, StreamToken
from inference.sampling_params import logprobs_of
from inference.services import Usage
from inference.streams import Written
from inference.types import ChoiceAnswer, Held
from lpu_backend import ChatModel, EmulatedTime, Generation, Step

FLUSH_S = 0.004  # the first token leaves at once; later ones share a round trip when they come faster than this
PLAIN_FLUSH_S = 0.1  # of an answer that is not streamed; they are written for a worker that takes over, and to hear of
# a client that went away


@dataclass(eq=False, slots=True)
class Choice:
    """One answer: the tokens made so far, by earlier workers and by this one, and why it ended."""

    made: list[StreamToken] = field(default_factory=list)
    generation: Generation | None = None

    @property
    def finish_reason(self) -> str:
        return self.made[-1].finish_reason if self.made else ""

    @property
    def made_ids(self) -> list[int]:
        return [token.token_id for token in self.made]

    @property
    def answer(self) -> ChoiceAnswer:
        """What came out. Where an earlier worker made its last token, nobody here knows of its logits."""
        text = "".join(token.text for token in self.made)
        digest = self.generation.digest if self.generation else ""
        return ChoiceAnswer(tuple(self.made_ids), text, self.finish_reason, digest)


class Run:
    """`made` are the tokens that earlier workers wrote."""

    def __init__(
        self,
        job: Job,
        model: ChatModel,
        prompt: PromptPayload,
        made: Sequence[StreamToken] = (),
        *,
        wants_digest: bool = False,
    ) -> None:
        self.job, self.model, self.prompt = job, model, prompt
        self.held = Held(job.pk, job.deployment_id or 0)
        self.choices = [Choice([token for token in made if token.choice == c]) for c in range(job.choices)]
        self.wants_digest = wants_digest
        self.cached_tokens = 0
        self.first_token_at: datetime | None = None
        self.has_ended = False
        self._unwritten: list[StreamToken] = []
        self._written_s = -math.inf if job.is_stream else time.monotonic()
        is_paced = job.deployment is not None and job.deployment.pacing == Deployment.Pacing.HARDWARE
        made_tokens = min(len(choice.made) for choice in self.choices)
        prompt_tokens = job.prompt_tokens
        self._pace = HardwarePace(model, prompt_tokens=prompt_tokens, made_tokens=made_tokens) if is_paced else None

    @property
    def is_complete(self) -> bool:
        """Whether all choices have ended and their tokens are written."""
        return not self._unwritten and self._is_made

    @property
    def _is_made(self) -> bool:
        return all(choice.finish_reason for choice in self.choices)

    @property
    def finish_reason(self) -> str:
        return self.choices[0].finish_reason

    @property
    def usage(self) -> Usage:
        """The tokens of all choices; the emulated time is that of one choice after the other, each alone."""
        tokens = [len(choice.made) for choice in self.choices]
        return Usage(
            completion_tokens=sum(tokens),
            first_token_at=self.first_token_at,
            emulated=_emulate(self.model, self.job.prompt_tokens, tokens, self.cached_tokens),
            cached_tokens=self.cached_tokens,
        )

    @property
    def completed(self) -> Completed:
        """For whoever keeps or checks answers."""
        return Completed(self.job, self.prompt, [choice.answer for choice in self.choices], self.model.program_hash)

    def add(self, choice: int, steps: Sequence[Step]) -> None:
        tokens = [as_token(step, choice) for step in steps]
        self.choices[choice].made += tokens
        self._unwritten += tokens
        if self._pace is None:
            self.first_token_at = self.first_token_at or timezone.now()

    def due_s(self) -> float:
        """When tokens of it are to be written next; infinity if there are none."""
        if not self._unwritten:
            return -math.inf if self._is_made else math.inf
        next_s = self._written_s + (FLUSH_S if self.job.is_stream else PLAIN_FLUSH_S)
        if self._pace is not None:
            return max(next_s, self._pace.due_s(self._unwritten[0].index + 1))
        return -math.inf if self._is_made else next_s

    def take(self, now_s: float) -> Written:
        """What is to be written now, and counts as written from now on."""
        due = self._unwritten
        if self._pace is not None:
            due = [token for token in due if self._pace.due_s(token.index + 1) <= now_s]
            self.first_token_at = self.first_token_at or (timezone.now() if due else None)
        self._unwritten = [token for token in self._unwritten if token not in due] if self._pace else []
        self._written_s = now_s
        return self._entry(due)

    def repeat(self, entry: Written) -> Written:
        """The same and all before it, for a Redis that may have lost some: a reader passes over what it has."""
        last = {token.choice: token.index for token in entry.tokens}
        unwritten = {(token.choice, token.index) for token in self._unwritten}
        made = [token for choice in self.choices for token in choice.made]
        tokens = [
            token
            for token in made
            if (token.choice, token.index) not in unwritten and token.index <= last.get(token.choice, token.index)
        ]
        return self._entry(tokens)

    def _entry(self, tokens: Sequence[StreamToken]) -> Written:
        key = bytes(self.job.payload_key or b"")
        return Written(self.job.pk, key, self.model.program_hash, self.held.deployment_id, tokens)


def as_token(step: Step, choice: int = 0) -> StreamToken:
    finish_reason, logprobs = step.finish_reason or "", logprobs_of(step.logprobs)
    return StreamToken(step.index, step.text, step.token_id, choice, finish_reason, logprobs)


def _emulate(
    model: ChatModel, prompt_tokens: int, completion_tokens: Sequence[int], cached_tokens: int
) -> EmulatedTime:
    each = [
        model.emulate(prompt_tokens=prompt_tokens, completion_tokens=tokens, cached_tokens=cached_tokens)
        for tokens in completion_tokens
    ]
    if len(each) == 1:
        return each[0]
    seconds = sum(one.seconds for one in each)
    return replace(
        each[0],
        cycles=sum(one.cycles for one in each),
        saved_cycles=sum(one.saved_cycles for one in each),
        seconds=seconds,
        tokens_per_second=sum(completion_tokens) / seconds if seconds else 0.0,
    )
