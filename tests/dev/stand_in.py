"""Runs dev.py with small stand-ins for the Django processes, so that supervision alone is under test.

The web stand-in answers 200 on every path, but never beside a failing worker, as /readyz would not.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dev

WEB = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Ok(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Ok).serve_forever()
"""
WORKERS = {
    "sleeping": "import time; time.sleep(600)",
    "stubborn": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
    "failing": "import sys; sys.exit('the model file is missing')",
}
Children = Callable[[dict[str, str], int, int], list[dev.Child]]


def children_with(worker: str) -> Children:
    def service_children(env: dict[str, str], port: int, workers: int) -> list[dev.Child]:
        web = WORKERS["sleeping"] if worker == "failing" else WEB
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        return [
            dev.Child("web", [sys.executable, "-c", web, str(port)], env),
            *(dev.Child(name, [sys.executable, "-c", WORKERS[worker]], env) for name in names),
        ]

    return service_children


def main(worker: str, arguments: list[str]) -> int:
    vars(dev).update(
        PYTHON=sys.executable,
        VENV=Path(sys.prefix),
        ensure_venv=lambda *requirements: None,
        service_children=children_with(worker),
    )
    dev.Supervisor.run_once = lambda self, child: None  # type: ignore[method-assign]
    return dev.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
