"""The server in a process of its own, with few descriptors."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from utils.runtime.paths import PROJECT_ROOT

SERVE = """
import contextlib, resource, sys
from pathlib import Path
from tests.search.web.test_serve import FakeSearcher, make_library
from utils.search.web.app import create_app
from utils.search.web.server import address_of, listen, serve
from utils.search.web.service import Service

service = Service(FakeSearcher(make_library(Path(sys.argv[1]), ["a.wav", "b.aiff"], seconds=60)))
listener = listen("127.0.0.1", 0)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
place = f"{address_of(listener, '127.0.0.1')}api/v1/sounds/NUMBER/audio?library=t"
app = create_app(service, host="127.0.0.1")
with contextlib.suppress(KeyboardInterrupt):
    serve(app, listener, ready=lambda: print(place, flush=True))
"""


@pytest.mark.slow
def test_a_server_with_too_few_descriptors_lets_clients_wait_and_logs_one_line(tmp_path):
    command = [sys.executable, "-c", SERVE, tmp_path / "sounds"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT_ROOT
    ) as process:
        place = process.stdout.readline().strip()
        seen = Counter()

        def hear(number):
            for _ in range(60):
                try:
                    address = place.replace("NUMBER", str(number % 2))
                    with urllib.request.urlopen(address, timeout=30) as sound:
                        return len(sound.read())
                except urllib.error.HTTPError as error:
                    seen[error.code] += 1
                    time.sleep(int(error.headers["retry-after"]))
            return 0

        with ThreadPoolExecutor(60) as clients:
            sizes = list(clients.map(hear, range(60)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert set(sizes) == {44 + 2 * 60 * 8_000}
    assert set(seen) == {503}
    assert errors.startswith("warning: requests must wait (Too many open files).")
    assert errors.count("\n") == 1
