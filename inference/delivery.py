"""What a Celery task does when a model's queue calls: it claims waiting jobs, hands them to the engine room, and looks
after the queue until nothing is left to do."""

import logging
import time

from django.db import InterfaceError, OperationalError, connection
from redis.exceptions import RedisError

from inference.check_marks import wants_digest
from inference.dispatch import MAX_CLAIM, bell_key, claim_jobs, release_jobs, stop_listening
from inference.engine_room import ENGINE_BATCH, EngineRoom, get_room
from inference.live_checks import offer_check
from inference.models import Job
from inference.payloads import PayloadError, open_prompt
from inference.redis_clients import get_redis
from inference.registry import load_model
from inference.runs import Run
from inference.services import MAX_ATTEMPTS, start_attempts
from inference.streams import read_tokens
from inference.types import ClaimedJob

logger = logging.getLogger(__name__)

LISTEN_S = 1  # after which a listener says anew that it listens
LINGER_S = 2.0  # without jobs, so that the next one needs no message through Celery
SHIFT_S = 60.0  # after which a task makes way for its queue's next wake-up
MOST_MODELS = 4  # whose queues are looked after at once: other tasks of the worker must find a thread
RETRY_S = 0.2


def work_off_queue(model_id: str, room: EngineRoom | None = None) -> None:
    """Computes what waits for the model. Where another task of this process looks after its queue already, it claims
    once and leaves the rest to that one."""
    room = room or get_room()
    if not room.is_open:
        return
    with room.attending(model_id, MOST_MODELS) as is_attending:
        claim_and_begin(model_id, room)
        if is_attending:
            _look_after(model_id, room)


def claim_and_begin(model_id: str, room: EngineRoom) -> int:
    """Takes this process' share of what waits, as much as its engine has room for; how many jobs that was."""
    most = min(MAX_CLAIM, ENGINE_BATCH - room.count(model_id))
    claimed = claim_jobs(model_id, most) if most > 0 else []
    if not claimed:
        return 0
    room.hold(model_id, [each.held for each in claimed])
    try:
        jobs = {job.pk: job for job in start_attempts([each.held.request_id for each in claimed])}
    except Exception:
        # The sweeper finds them: they neither wait nor run.
        _let_go(model_id, room, claimed)
        raise
    for each in claimed:
        if each.held.request_id in jobs:
            _begin(jobs[each.held.request_id], each, room)
        else:
            _let_go(model_id, room, [each])
    return len(claimed)


def _look_after(model_id: str, room: EngineRoom) -> None:
    began_s = busy_s = time.monotonic()
    while room.is_open and time.monotonic() - began_s < SHIFT_S:
        try:
            claimed = _await_jobs(model_id, room)
        except (RedisError, OperationalError, InterfaceError) as error:
            logger.warning("The queue of %s waits: %s", model_id, type(error).__name__)
            connection.close()
            time.sleep(RETRY_S)
            continue
        if claimed or room.count(model_id):
            busy_s = time.monotonic()
        elif time.monotonic() - busy_s > LINGER_S:
            break
    stop_listening(model_id)


def _await_jobs(model_id: str, room: EngineRoom) -> int:
    """Claims when the bell rings, and once a second; while the engine is full, only when a job has left it."""
    if room.count(model_id) >= ENGINE_BATCH:
        room.wait(lambda: room.count(model_id) < ENGINE_BATCH or not room.is_open, LISTEN_S)
    else:
        get_redis().blpop([bell_key(model_id)], timeout=LISTEN_S)
    return claim_and_begin(model_id, room) if room.is_open else 0


def _begin(job: Job, claimed: ClaimedJob, room: EngineRoom) -> None:
    """Hands the job to an engine, or ends it where nothing is to be computed."""
    settler = room.settler
    if not job.is_active:
        settler.pass_over(job)
    elif claimed.is_late:
        settler.fail(job, "deadline_exceeded")
    elif job.attempts - job.moves > MAX_ATTEMPTS or (job.deployment and not job.deployment.can_compute):
        settler.fail(job)
    elif claimed.is_cancelled and job.attempts == 1:
        settler.drop(job)
    else:
        try:
            room.begin(_make_run(job, claimed))
            offer_check(job)
        except Exception as error:
            settler.fail(job, because=error)


def _make_run(job: Job, claimed: ClaimedJob) -> Run:
    """With the tokens that earlier workers wrote, it goes on at the next one. Raises PayloadError, CheckpointError,
    ProgramChangedError."""
    key = bytes(job.payload_key or b"")
    if claimed.sealed_prompt is None:
        raise PayloadError(f"The prompt of {job.pk} is gone.")
    prompt = open_prompt(key, job.pk, claimed.sealed_prompt)
    model = load_model(job.model_id, job.deployment)
    program_hash = model.program_hash
    made = read_tokens(request_id=job.pk, key=key, program_hash=program_hash) if claimed.has_stream else []
    return Run(job, model, prompt, made, wants_digest=wants_digest(job))


def _let_go(model_id: str, room: EngineRoom, claimed: list[ClaimedJob]) -> None:
    held = [each.held for each in claimed]
    room.release(held)
    release_jobs(model_id, held)
