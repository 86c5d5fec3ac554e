"""What a worker does with a job, on the test's own thread."""

from typing import Any

from inference.delivery import claim_and_begin
from inference.dispatch import list_waiting, put_back, ticket_of
from inference.engine_room import EngineRoom
from inference.models import Job
from inference.payloads import PromptPayload, StreamEntry, open_entry, seal_payload
from inference.redis_clients import get_redis
from inference.streams import FIELD, Written, prompt_key, stream_key, write_entries


def deliver_job(request_id: str) -> None:
    """Lets the job wait, if it does not, claims it and does what there is to do until it has left."""
    put_back(ticket_of(read_job(request_id)))
    room = EngineRoom(has_threads=False)
    claim_and_begin(read_job(request_id).model_id, room)
    room.drive()


def read_job(request_id: str) -> Job:
    return Job.objects.select_related("deployment").get(pk=request_id)


def is_waiting(job: Job) -> bool:
    return list_waiting([job]) == {job.pk}


def put_prompt(*, request_id: str, key: bytes, payload: PromptPayload) -> None:
    get_redis().set(prompt_key(request_id), seal_payload(key, request_id, payload))


def write_tokens(job: Job, program_hash: str, tokens: list[Any]) -> None:
    """What an earlier worker wrote."""
    write_entries([Written(job.pk, bytes(job.payload_key or b""), program_hash, job.deployment_id or 0, tokens)])


def read_entries(job: Job) -> list[StreamEntry]:
    entries = get_redis().xrange(stream_key(job.pk))
    return [open_entry(job.payload_key or b"", job.pk, fields[FIELD]) for _, fields in entries if fields[FIELD]]


def read_tokens(job: Job) -> list[tuple[int, str]]:
    return [(token.index, token.text) for entry in read_entries(job) for token in entry.tokens]
