"""A web server on this machine whose connections break as a test asks."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """Sends `files`, by path, from `url`.

    Each request takes the next of `faults`: a status that is answered instead (with its headers, as
    a pair), a number of bytes after which the connection breaks, negative so that it differs from
    a status, or None.
    """

    def __init__(self, url):
        self.url = url
        self.files = {}
        self.faults = []
        self.ranges = True  # whether parts of files are sent
        self.asked = []  # the path and the range of each request

    def address(self, name):
        return f"{self.url}/{name}"


@contextlib.contextmanager
def serving():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name, wanted = self.path.partition("?")[0].lstrip("/"), self.headers.get("Range")
            site.asked.append((name, wanted))
            fault = site.faults.pop(0) if site.faults else None
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            if status is None or status < 0:
                self.send_file(name, wanted, status)
            else:
                self.send_response(status)
                for header in headers.items():
                    self.send_header(*header)
                self.end_headers()

        def send_file(self, name, wanted, breaks):
            content = site.files.get(name)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted[len("bytes=") : -1]) if wanted and site.ranges else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: -breaks if breaks else None])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
