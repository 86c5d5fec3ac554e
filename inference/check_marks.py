"""Which jobs are checked, and what their checks learn of their answers.

That is an HMAC under the job's payload key, for a minute in Redis: the job's end clears the key, and whoever reads the
mark later learns nothing.
"""

import hashlib
import hmac
import logging
from collections.abc import Sequence

import msgspec
from django.conf import settings
from redis.exceptions import RedisError

from inference.kept_content import Completed, is_kept, keep_content
from inference.models import Job
from inference.redis_clients import get_redis, redis_key
from inference.types import ChoiceAnswer

logger = logging.getLogger(__name__)

MARKS_S = 60
DRAWN_BYTES = 8


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What an answer is compared by where its content may not go: HMACs of its tokens and text, and of its logits
    (empty where the engine told of none)."""

    content: str
    logits: str


_marks = msgspec.json.Decoder(list[Mark])


def wants_check(job: Job) -> bool:
    """Whether the job is of the share that is checked: every process answers the same."""
    digest = hashlib.sha256(job.pk.encode()).digest()
    drawn = int.from_bytes(digest[:DRAWN_BYTES], "big") / 2 ** (8 * DRAWN_BYTES)
    return bool(drawn < settings.LIVE_CHECK_SHARE)


def wants_digest(job: Job) -> bool:
    """Whether the engine should take the digest of the job's logits: to keep it, or for its check."""
    return wants_check(job) or is_kept(job)


def record_answers(completed: Sequence[Completed]) -> None:
    """Called by a worker when the last tokens of jobs were made, before it settles them: keeps the content of those
    whose projects want that, and tells the checks of those that have one what came out. May be called twice."""
    keep_content(completed)
    checked = [each for each in completed if wants_check(each.job)]
    if not checked:
        return
    pipeline = get_redis().pipeline(transaction=False)
    for each in checked:
        marks = mark_answers(bytes(each.job.payload_key or b""), each.answers)
        pipeline.set(marks_key(each.job.pk), msgspec.json.encode(marks), ex=MARKS_S)
    try:
        pipeline.execute()
    except RedisError as error:
        logger.warning("The checks of %d jobs learn nothing: %s", len(checked), type(error).__name__)


def take_marks(request_id: str) -> list[Mark] | None:
    """Those of the job's own answer, once; None while there are none."""
    found = get_redis().getdel(marks_key(request_id))
    return _marks.decode(found) if isinstance(found, bytes) else None


def mark_answers(key: bytes, answers: Sequence[ChoiceAnswer]) -> list[Mark]:
    return [
        Mark(
            content=_hmac(key, msgspec.json.encode([answer.token_ids, answer.text, answer.finish_reason])),
            logits=_hmac(key, answer.digest.encode()) if answer.digest else "",
        )
        for answer in answers
    ]


def find_marked_difference(first: Sequence[Mark], second: Sequence[Mark]) -> str:
    """Where the second answers part from the first; nothing where they are the same."""
    if len(first) != len(second):
        return f"There were {len(first)} choices; there are {len(second)} now."
    for choice, (one, other) in enumerate(zip(first, second, strict=True)):
        if one.content != other.content:
            return f"Choice {choice} differs in tokens or text."
        if one.logits and other.logits and one.logits != other.logits:
            return f"The logits of choice {choice} differ; its tokens are the same."
    return ""


def marks_key(request_id: str) -> str:
    return redis_key("check", request_id, "original")


def _hmac(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()
