import errno
import logging
import resource

import anyio
import pytest

from utils.runtime.errors import is_shortage
from utils.search.web import busy
from utils.search.web.busy import Bounded, most_at_once
from utils.search.web.guard import Refusal


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (MemoryError(), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (ValueError(), False),
        (None, False),
    ],
)
def test_shortages_are_told_from_other_errors(error, expected):
    assert is_shortage(error) is expected


def test_a_shortage_is_logged_once_a_minute():
    limit = busy._OncePerMinute()
    records = [logging.makeLogRecord({"created": float(second)}) for second in range(0, 200, 20)]
    assert [record.created for record in records if limit.filter(record)] == [0, 60, 120, 180]


def test_descriptors_are_left_for_the_rest(monkeypatch):
    for limit, expected in ((40, 5), (1024, 128), (10**6, 256), (4, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, it=limit: (it, it))
        assert most_at_once() == expected


def test_only_so_many_requests_are_answered_at_once():
    waiting, begun = anyio.Event(), []

    async def app(scope, receive, send):
        begun.append(scope)
        await waiting.wait()
        if scope == 1:
            raise ValueError("failed")

    async def run():
        bounded = Bounded(app, at_once=2)
        async with anyio.create_task_group() as group:
            group.start_soon(bounded, 0, None, None)
            group.start_soon(_failing, bounded)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Refusal) as error:
                await bounded(2, None, None)
            assert error.value.status == 503
            waiting.set()
        await bounded(3, None, None)  # those that have ended make room, also after an error

    async def _failing(bounded):
        with pytest.raises(ValueError, match="failed"):
            await bounded(1, None, None)

    anyio.run(run)
    assert begun == [0, 1, 3]
