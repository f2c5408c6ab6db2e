"""Public repositories on this machine: files by their paths, and what may go wrong with them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class DataServer:
    """Gives out files, and fails as it is told to.

    Attributes
    ----------
    files
        Path -> content.
    faults
        Path -> what goes wrong with the next requests for it: a status, or "cut".
    asked
        Path -> how often it was asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[int | str]] = {}
        self.asked: Counter[str] = Counter()
        self.address = ""

    def put(self, repository: str, path: str, content: bytes) -> str:
        """Add a file to a repository, <owner>/<name>/<commit>; give its path."""
        self.files[f"/{repository}/{path}"] = content
        return f"/{repository}/{path}"


@contextmanager
def data_server() -> Iterator[DataServer]:
    site = DataServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked[self.path] += 1
            fault = site.faults.get(self.path, [])
            what = fault.pop(0) if fault else 200
            content = site.files.get(self.path)
            self.send_response(404 if content is None else 200 if what == "cut" else int(what))
            body = content if content is not None and what in (200, "cut") else b"an error page"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if what == "cut" else body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
