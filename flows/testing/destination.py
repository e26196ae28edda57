"""A destination with books of its own, in a process of its own, for tests of outside writes.

``python -m flows.testing.destination`` prints its port. ``POST /<writer>/<key>`` writes a document; ``GET`` finds it;
``/books`` shows every document that landed; ``POST /faults`` arms faults, ``POST /clear`` empties the books. The
writer ``once`` knows keys and never doubles; any other writer makes a second document when it is asked twice.
"""

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import quote, unquote

from canonical_model.errors import RejectedError, TransientError, UncertainError
from canonical_model.ports import Idempotency, LaneSpec, Receipt, Record, WriterSpec

HOST: Final = "127.0.0.1"
NATIVE: Final = "once"
TIMEOUT_S: Final = 2.0
LANDED: Final = 201
SPECS: Final = {
    NATIVE: WriterSpec(name=NATIVE, mapping="", idempotency=Idempotency.NATIVE_KEY, timeout_s=TIMEOUT_S),
    "seen": WriterSpec(name="seen", mapping="", idempotency=Idempotency.READ_BACK, timeout_s=0.05),
    "blind": WriterSpec(name="blind", mapping="", idempotency=Idempotency.NONE, timeout_s=TIMEOUT_S),
}


class _Books:
    """What landed, what is armed, and how often anybody called."""

    def __init__(self) -> None:
        self.documents: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.faults: list[dict[str, Any]] = []
        self.calls = 0
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()

    def clear(self) -> None:
        """Empty the books."""
        self.documents.clear()
        self.faults = []
        self.calls = self.most_at_once = 0

    def fault_for(self, path: str) -> str | None:
        """The armed fault of that path, used up by one."""
        for fault in self.faults:
            if fault["in"] in path and fault["times"] > 0:
                fault["times"] -= 1
                return str(fault["kind"])
        return None

    def land(self, path: str, body: Any) -> str:
        """Write a document; the writer ``once`` writes each key once."""
        documents = self.documents[path]
        if not documents or not path.startswith(f"/{NATIVE}/"):
            documents.append(body)
        return f"{path}#{len(documents)}"


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the books."""

    server: "_Server"

    def do_GET(self) -> None:
        books = self.server.books
        if self.path == "/books":
            with books.lock:
                shown = {"documents": books.documents, "calls": books.calls, "most_at_once": books.most_at_once}
                self._answer(200, shown)
            return
        with books.lock:
            documents = books.documents.get(unquote(self.path))
        self._answer(200 if documents else 404, {"id": f"{unquote(self.path)}#1"})

    def do_POST(self) -> None:
        books = self.server.books
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/clear":
            with books.lock:
                books.clear()
            self._answer(200, {})
            return
        if self.path == "/faults":
            with books.lock:
                books.faults = body
            self._answer(200, {})
            return
        path = unquote(self.path)
        with books.lock:
            fault = books.fault_for(path)
            books.calls += 1
            books.at_once += 1
            books.most_at_once = max(books.most_at_once, books.at_once)
        try:
            self._write(path, body, fault)
        finally:
            with books.lock:
                books.at_once -= 1

    def _write(self, path: str, body: Any, fault: str | None) -> None:
        if fault == "slow":
            time.sleep(0.1)
        if fault == "busy":
            self._answer(503, {"detail": "busy"})
        elif fault == "refuse":
            self._answer(422, {"detail": "refused"})
        elif fault == "cut":
            self.close_connection = True
        else:
            with self.server.books.lock:
                outside_id = self.server.books.land(path, body)
            if fault == "drop":
                self.close_connection = True
            else:
                self._answer(LANDED, {"id": outside_id})

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.books = _Books()


class Destination:
    """The books from outside: arm faults, read what landed, and make writers."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def lanes(self) -> dict[str, LaneSpec]:
        """One lane for each writer, so that a test can see one struggle alone."""
        return {f"books.{name}": LaneSpec() for name in SPECS}

    def writer(self, name: str) -> "BooksWriter":
        """The writer ``books.<name>``."""
        return BooksWriter(self.port, name.partition(".")[2])

    def arm(self, *faults: tuple[str, str, int]) -> None:
        """Arm faults (part of the path, kind, times); those armed before are forgotten.

        Kinds: ``busy`` (503), ``refuse`` (422), ``drop`` (lands, answer lost), ``cut`` (does not land, answer
        lost), ``slow``.
        """
        self._ask("POST", "/faults", [{"in": part, "kind": kind, "times": times} for part, kind, times in faults])

    def clear(self) -> None:
        """Forget every document, fault and count."""
        self._ask("POST", "/clear", {})

    def documents(self) -> dict[str, list[Any]]:
        """Every document that landed, by ``/<writer>/<key>``."""
        found: dict[str, list[Any]] = self._ask("GET", "/books")["documents"]
        return found

    def calls(self) -> int:
        """How many writes were attempted."""
        return int(self._ask("GET", "/books")["calls"])

    def most_at_once(self) -> int:
        """The largest number of writes that were under way at one time."""
        return int(self._ask("GET", "/books")["most_at_once"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = _exchange(self.port, method, path, body)
        assert status == 200, (status, answer)
        return answer


class BooksWriter:
    """A writer of the destination, with the errors that a connector would raise."""

    system = "books"

    def __init__(self, port: int, name: str) -> None:
        self.spec = SPECS[name]
        self._port = port

    @property
    def lane(self) -> str:
        """Each writer has a lane of its own."""
        return f"books.{self.spec.name}"

    def write(self, key: str, body: Record) -> Receipt:
        """Write the document; see ``canonical_model.ports.Writer``."""
        try:
            status, answer = _exchange(self._port, "POST", f"/{self.spec.name}/{quote(key, safe='')}", dict(body))
        except ConnectionRefusedError as error:
            raise TransientError("the books are closed", code="books.closed") from error
        except (OSError, HTTPException) as error:
            raise UncertainError("the books gave no answer", code="books.silent") from error
        if status == 503:
            raise TransientError("the books are busy", code="books.busy")
        if status == 422:
            raise RejectedError("the books refuse", code="books.refused")
        return Receipt(answer["id"], {"status": LANDED})

    def find(self, key: str) -> Receipt | None:
        """Whether the document landed; the receipt is the one that ``write`` would have given."""
        try:
            status, answer = _exchange(self._port, "GET", f"/{self.spec.name}/{quote(key, safe='')}")
        except (OSError, HTTPException) as error:
            raise TransientError("the books are closed", code="books.closed") from error
        return Receipt(answer["id"], {"status": LANDED}) if status == 200 else None


def _exchange(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@contextmanager
def running() -> Iterator[Destination]:
    """A destination in a process of its own, until the end of the block."""
    command = [sys.executable, "-m", "flows.testing.destination"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Destination(int(process.stdout.readline()))
        finally:
            process.kill()


def main() -> None:
    """Serve until killed."""
    with _Server() as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
