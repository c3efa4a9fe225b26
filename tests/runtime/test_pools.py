import os
import signal
import time
from pathlib import Path

import pytest

from tests.support import run_python
from utils.runtime.errors import InputError
from utils.runtime.pools import map_ahead, worker_pool

DEADLINE = 30  # seconds, after which a process that lives on is a failure


def die(number):
    os.kill(os.getpid(), number)


def test_processes_return_results():
    with worker_pool(2) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]


def test_items_are_mapped_ahead_in_order():
    items = [*range(100), None, 3]
    assert list(map_ahead(str, items)) == [(item, str(item)) for item in items]


def test_a_worker_that_is_killed_is_one_error():
    with (
        pytest.raises(InputError, match=r"one of 1 processes was killed.*fewer --jobs"),
        worker_pool(1) as pool,
    ):
        pool.submit(die, signal.SIGKILL).result()


def test_workers_ignore_ctrl_c():
    with worker_pool(1) as pool:
        pool.submit(die, signal.SIGINT).result()
        assert pool.submit(abs, -1).result() == 1


def test_workers_end_when_their_parent_is_killed():
    program = (
        "import os, signal\n"
        "from utils.runtime.pools import worker_pool\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(2) as pool:\n"
        "        futures = [pool.submit(os.getpid) for _ in range(20)]\n"
        "        print(*{future.result() for future in futures}, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    printed = run_python(program, status=-signal.SIGKILL).stdout
    workers = [Path(f"/proc/{number}") for number in printed.split()]
    assert workers
    end = time.monotonic() + DEADLINE
    while any(worker.exists() for worker in workers):
        assert time.monotonic() < end, f"{workers} live on"
        time.sleep(0.05)
