"""A small Stripe for tests: the Checkout endpoints used here, over HTTP, strict about what it is sent.

It checks every parameter against the installed SDK's own TypedDicts, keeps state, honours idempotency keys, can be told
to fail, and signs events as Stripe does.
"""

import json
import threading
import time
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import stripe
import stripe.params.checkout._session_create_params as create_module
import stripe.params.checkout._session_list_params as list_module
from stripe._request_options import RequestOptions

SECRET_KEY = "sk_test_fake"
WEBHOOK_SECRET = "whsec_fake"
SESSIONS = "/v1/checkout/sessions"
OPTIONS = set(RequestOptions.__annotations__)

Params = dict[str, Any]
Failure = Literal["lose-response", 429, 500]


@dataclass
class StripeFake:
    """State and orders of one fake. `sessions` are Stripe's objects, oldest first; `requests` what was received."""

    url: str = ""
    sessions: dict[str, Params] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    answers: dict[str, tuple[str, int, Params]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def pay(self, session_id: str) -> None:
        self.sessions[session_id].update(status="complete", payment_status="paid", url=None)

    def expire(self, session_id: str) -> None:
        self.sessions[session_id].update(status="expired", url=None)

    def forget_idempotency_keys(self) -> None:
        """What Stripe may do after 24 hours."""
        self.answers.clear()

    def event(self, kind: str, session_id: str) -> str:
        """The body of a new event, as Stripe sends it."""
        number = next(self.numbers)
        return json.dumps(
            {
                "id": f"evt_{number}",
                "object": "event",
                "type": kind,
                "api_version": stripe.api_version,
                "data": {"object": self.sessions[session_id]},
            },
            indent=2,
        )

    def answer(self, method: str, path: str, key: str | None, encoded: str) -> tuple[int, Params]:
        with self.lock:
            self.requests.append((method, path, key, encoded))
            params = decode(encoded)
            if method == "POST" and path == SESSIONS:
                return self._create_once(key, encoded, params)
            if method == "GET" and path == SESSIONS:
                require_params(list_module.SessionListParams, vars(list_module), params)
                return 200, self._list(params)
            session = self.sessions.get(path.removeprefix(f"{SESSIONS}/"))
            return (200, session) if method == "GET" and session else (404, refusal("No such checkout.session"))

    def _create_once(self, key: str | None, encoded: str, params: Params) -> tuple[int, Params]:
        if key is None:
            return 400, refusal("This fake wants an idempotency key.")
        if key in self.answers:
            sent, status, body = self.answers[key]
            return (status, body) if sent == encoded else (400, refusal("Key reused with other parameters."))
        require_params(create_module.SessionCreateParams, vars(create_module), params)
        session = self._create(params)
        self.answers[key] = (encoded, 200, session)
        return 200, session

    def _create(self, params: Params) -> Params:
        session_id = f"cs_test_{next(self.numbers)}"
        items = params["line_items"].values()
        self.sessions[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "status": "open",
            "payment_status": "unpaid",
            "mode": params["mode"],
            "url": f"https://checkout.stripe.test/{session_id}",
            "client_reference_id": params["client_reference_id"],
            "amount_total": sum(int(item["quantity"]) * int(item["price_data"]["unit_amount"]) for item in items),
            "currency": next(iter(items))["price_data"]["currency"],
            "created": int(time.time()),
        }
        return self.sessions[session_id]

    def _list(self, params: Params) -> Params:
        """Newest first, two a page at most, so that paging is used."""
        created = params.get("created", {})
        found = [
            session
            for session in reversed(self.sessions.values())
            if int(created.get("gte", 0)) <= session["created"] <= int(created.get("lte", 2**40))
        ]
        ids = [session["id"] for session in found]
        begin = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        size = min(2, int(params.get("limit", 10)))
        page = found[begin : begin + size]
        return {"object": "list", "url": SESSIONS, "data": page, "has_more": begin + size < len(found)}


def decode(encoded: str) -> Params:
    """`a[b][0]=c` as nested dictionaries."""
    params: Params = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True, strict_parsing=bool(encoded)):
        *parents, last = name.replace("]", "").split("[")
        place = params
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return params


def require_params(kind: Any, namespace: dict[str, Any], params: Params) -> None:
    """ValueError for a parameter that the SDK's type does not know, one that is missing, or a value of another type."""
    hints = get_type_hints(kind, {**vars(typing), **namespace, "StripeContext": object})
    unknown = set(params) - (set(hints) - OPTIONS)
    missing = kind.__required_keys__ - set(params) - OPTIONS
    if unknown or missing:
        raise ValueError(f"{kind.__name__}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    for name, value in params.items():
        require_value(f"{kind.__name__}.{name}", hints[name], namespace, value)


def require_value(name: str, hint: Any, namespace: dict[str, Any], value: Any) -> None:
    options = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    problems = [problem for option in options if (problem := find_problem(name, option, namespace, value))]
    if len(problems) == len(options):
        raise ValueError("; ".join(problems))


def find_problem(name: str, hint: Any, namespace: dict[str, Any], value: Any) -> str:
    if hasattr(hint, "__required_keys__"):
        if not isinstance(value, dict):
            return f"{name} is not an object"
        require_params(hint, namespace, value)
        return ""
    if get_origin(hint) is list:
        if not isinstance(value, dict):
            return f"{name} is not a list"
        for item in value.values():
            require_value(name, get_args(hint)[0], namespace, item)
        return ""
    return find_scalar_problem(name, hint, value)


def find_scalar_problem(name: str, hint: Any, value: Any) -> str:
    if not isinstance(value, str):
        return f"{name} is not a single value"
    if hint is int:
        return "" if value.lstrip("-").isdigit() else f"{name} is not a whole number"
    if hint is bool:
        return "" if value in {"true", "false"} else f"{name} is not true or false"
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else f"{name} is {value}"
    return ""


def refusal(message: str) -> Params:
    return {"error": {"type": "invalid_request_error", "message": message}}


def sign(body: str, *, at_s: int | None = None, secret: str = WEBHOOK_SECRET) -> str:
    return str(stripe.WebhookSignature.generate_signature_header(body, secret, at_s))


class Endpoint(BaseHTTPRequestHandler):
    fake: StripeFake

    def do_GET(self) -> None:
        self.serve(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self.serve(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def serve(self, encoded: str) -> None:
        if self.headers["Authorization"] != f"Bearer {SECRET_KEY}":
            self.reply(401, refusal("Invalid API key"))
            return
        failure = self.fake.failures.pop(0) if self.fake.failures else None
        if isinstance(failure, int):
            self.reply(failure, {"error": {"type": "api_error", "message": "ordered to fail"}})
            return
        try:
            status, answer = self.fake.answer(
                self.command, urlsplit(self.path).path, self.headers["Idempotency-Key"], encoded
            )
        except ValueError as error:
            status, answer = 400, refusal(str(error))
        if failure == "lose-response":
            self.close_connection = True
            return
        self.reply(status, answer)

    def reply(self, status: int, answer: Params) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Tests read `StripeFake.requests` instead."""


@contextmanager
def run_stripe_fake() -> Iterator[StripeFake]:
    fake = StripeFake()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Endpoint", (Endpoint,), {"fake": fake}))
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
