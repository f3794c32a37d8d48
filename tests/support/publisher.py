"""A publisher's web server on this machine, whose faults are set by the tests."""

import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Publisher:
    """What is served, what goes wrong with it, and what was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)  # bytes after which each next answer breaks off
    stall: set[str] = field(default_factory=set)  # files of which nothing comes for a long time
    failing: dict[str, list[int]] = field(default_factory=dict)  # status of each next answer
    moved: dict[str, str] = field(default_factory=dict)  # where files are now
    users: list[str | None] = field(default_factory=list)  # who asked: the header Authorization of each request
    no_ranges: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range of each request


@contextmanager
def published(files: dict[str, bytes], certificate: Path | None = None) -> Iterator[Publisher]:
    """Serve files for the length of a with-block; with a certificate, and its key in the same file, over TLS."""
    publisher = Publisher(files=files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):  # the name that http.server calls
            path = self.path.lstrip("/")
            asked = self.headers.get("Range")
            publisher.asked.append((path, asked))
            publisher.users.append(self.headers.get("Authorization"))
            if path in publisher.moved:
                self.send_response(302)
                self.send_header("Location", publisher.moved[path])
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if publisher.failing.get(path):
                return self.send_error(publisher.failing[path].pop(0))
            if path not in publisher.files:
                return self.send_error(404)
            if path in publisher.stall:
                threading.Event().wait(2)
            content = publisher.files[path]
            version = f'"{hashlib.md5(content).hexdigest()}"'
            begin = 0
            if asked and not publisher.no_ranges and self.headers.get("If-Range") == version:
                begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin and begin >= len(content):
                return self.send_error(416)
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(content) - begin))
            self.send_header("ETag", version)
            self.end_headers()
            cuts = publisher.cut.get(path)
            self.wfile.write(content[begin : begin + cuts.pop(0)] if cuts else content[begin:])
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher.address = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        server.server_close()
