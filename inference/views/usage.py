"""`GET /v1/organization/usage/completions`, in the shape of OpenAI's usage API."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from django.http import QueryDict
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.types import Caller
from inference.exceptions import ApiError, invalid_request
from inference.selectors import BUCKET_WIDTHS, GROUP_COLUMNS, floor_to_bucket, list_usage
from inference.types import BucketWidth, UsageBucket, UsageRow

# OpenAI's: buckets of one page when `limit` is absent, and at most.
LIMITS: dict[BucketWidth, tuple[int, int]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
# 2100-01-01: anything later is a mistake, most often milliseconds.
LAST_TIME_S = 4_102_444_800
PAGE_PREFIX = "page_"
LISTS = ("group_by", "models", "project_ids", "api_key_ids")


class UsageQuery(serializers.Serializer[Any]):
    """The query's parameters; times are Unix seconds."""

    start_time = serializers.IntegerField(min_value=0, max_value=LAST_TIME_S)
    end_time = serializers.IntegerField(min_value=1, max_value=LAST_TIME_S, default=None)
    bucket_width = serializers.ChoiceField(choices=tuple(BUCKET_WIDTHS), default="1d")
    group_by = serializers.ListField(child=serializers.ChoiceField(choices=tuple(GROUP_COLUMNS)), default=list)
    models = serializers.ListField(child=serializers.CharField(), default=list)
    project_ids = serializers.ListField(child=serializers.CharField(), default=list)
    api_key_ids = serializers.ListField(child=serializers.CharField(), default=list)
    limit = serializers.IntegerField(min_value=1, default=None)
    page = serializers.RegexField(rf"^{PAGE_PREFIX}[0-9]{{1,10}}$", default=None)


@dataclass(frozen=True, slots=True)
class Window:
    """One page of the range asked for, and where the next one starts (None on the last)."""

    start_at: datetime
    end_at: datetime
    next_at: datetime | None


class CompletionsUsage(APIView):
    """Usage of the key's own project: an ordinary key says nothing of its organization's other projects."""

    def get(self, request: Request) -> Response:
        query = parse_query(request.query_params)
        window = _choose_window(query)
        caller = cast(Caller, request.auth)
        buckets = list_usage(
            organization_id=caller.organization_id,
            start_at=window.start_at,
            end_at=window.end_at,
            bucket_width=query["bucket_width"],
            group_by=query["group_by"],
            project_ids=_allowed_projects(query["project_ids"], caller),
            models=query["models"],
            api_key_ids=query["api_key_ids"],
        )
        next_page = f"{PAGE_PREFIX}{int(window.next_at.timestamp())}" if window.next_at else None
        data = [_bucket(bucket) for bucket in buckets]
        return Response({"object": "page", "data": data, "has_more": next_page is not None, "next_page": next_page})


def parse_query(params: QueryDict) -> dict[str, Any]:
    """The validated parameters. Raises ApiError naming the first that is wrong; lists come as `x=` or `x[]=`."""
    given: dict[str, Any] = {}
    for key in params:
        name = key.removesuffix("[]")
        if name not in UsageQuery._declared_fields:
            raise invalid_request(f"Unknown parameter: `{name}`.", param=name, code="unknown_parameter")
        given[name] = [*given.get(name, []), *params.getlist(key)] if name in LISTS else params[key]
    query = UsageQuery(data=given)
    if not query.is_valid():
        raise _first_error(query)
    return dict(query.validated_data)


def _first_error(query: UsageQuery) -> ApiError:
    name, messages = next(iter(query.errors.items()))
    # A list reports its members' errors by position.
    message = next(iter(messages.values()))[0] if isinstance(messages, dict) else messages[0]
    code = "missing_required_parameter" if message.code == "required" else "invalid_value"
    return invalid_request(f"Invalid `{name}`: {message}", param=name, code=code)


def _choose_window(query: dict[str, Any]) -> Window:
    bucket_width: BucketWidth = query["bucket_width"]
    width = BUCKET_WIDTHS[bucket_width]
    start_at = _at(query["start_time"])
    # Without an end, up to the end of the bucket that is filling now.
    end_at = _at(query["end_time"]) if query["end_time"] else floor_to_bucket(timezone.now(), bucket_width) + width
    if start_at >= end_at:
        raise invalid_request("`start_time` must lie before `end_time`.", param="start_time", code="invalid_value")
    if query["page"] is not None:
        start_at = _page_start(query["page"], start_at, end_at)
    page_end_at = floor_to_bucket(start_at, bucket_width) + _limit(query["limit"], bucket_width) * width
    return Window(start_at, min(page_end_at, end_at), page_end_at if page_end_at < end_at else None)


def _page_start(page: str, start_at: datetime, end_at: datetime) -> datetime:
    page_start_s = int(page.removeprefix(PAGE_PREFIX))
    if not start_at.timestamp() <= page_start_s < end_at.timestamp():
        raise invalid_request("Invalid `page`: it belongs to another query.", param="page", code="invalid_value")
    return _at(page_start_s)


def _limit(limit: int | None, bucket_width: BucketWidth) -> int:
    default, maximum = LIMITS[bucket_width]
    if limit is not None and limit > maximum:
        message = f"Invalid `limit`: at most {maximum} with `bucket_width={bucket_width}`."
        raise invalid_request(message, param="limit", code="invalid_value")
    return limit or default


def _allowed_projects(project_ids: list[str], caller: Caller) -> list[str]:
    if any(project_id != caller.project_id for project_id in project_ids):
        raise ApiError(
            status=403,
            message="This API key sees the usage of its own project only.",
            code="project_not_accessible",
            param="project_ids",
        )
    return [caller.project_id]


def _at(time_s: int) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)


def _bucket(bucket: UsageBucket) -> dict[str, Any]:
    return {
        "object": "bucket",
        "start_time": int(bucket.start_at.timestamp()),
        "end_time": int(bucket.end_at.timestamp()),
        "results": [_result(row) for row in bucket.rows],
    }


def _result(row: UsageRow) -> dict[str, str | int | bool | None]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": row.prompt_tokens,
        "output_tokens": row.completion_tokens,
        "input_cached_tokens": row.cached_tokens,
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "num_model_requests": row.requests,
        "project_id": row.project_id,
        "user_id": None,
        "api_key_id": row.api_key_id,
        "model": row.model,
        "batch": None,
        "service_tier": None,
    }
