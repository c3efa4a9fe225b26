import hashlib
import multiprocessing
import random
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.site import serving
from tests.support import noting
from utils.files import download as module
from utils.files.download import download
from utils.runtime.errors import InputError

CONTENT = random.Random(0).randbytes(500_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
WRONG = f"md5:{'0' * 32}"


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(module, "_BACKOFF", 0.0)
    with serving() as site:
        site.files["a.bin"] = CONTENT
        yield site


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new folder/a.bin"


def fetch(site, target, checksum=MD5, **options):
    download(site.address("a.bin"), target, checksum=checksum, **options)


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("checksum", [MD5, SHA256, None])
def test_a_file_is_downloaded_once_and_nothing_else_stays(site, target, checksum):
    bars = []
    for _ in range(2):
        fetch(site, target, checksum, progress=noting(bars))
    assert target.read_bytes() == CONTENT
    assert names(target) == ["a.bin"]
    assert site.asked == [("a.bin", None)]
    assert [(bar.total, bar.done) for bar in bars] == [(len(CONTENT), len(CONTENT))]


def test_a_broken_connection_is_resumed_where_it_broke(site, target):
    site.faults = [-200_000, -100_000]
    bars = []
    fetch(site, target, progress=noting(bars))
    assert target.read_bytes() == CONTENT
    (_, whole), (_, second), (_, third) = site.asked
    assert whole is None
    # What had arrived of the last piece may be lost.
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in (second, third)]
    assert 200_000 - module._PIECE < starts[0] <= 200_000
    assert starts[0] < starts[1] < 300_000
    assert {bar.total for bar in bars} == {len(CONTENT)}


def test_the_next_run_resumes_what_an_interrupted_one_left(site, target):
    class Stop(KeyboardInterrupt):
        pass

    class Bar(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, count):
            self.append(count)
            if sum(self) > 150_000:
                raise Stop

    with pytest.raises(Stop):
        fetch(site, target, progress=lambda total: Bar())
    assert names(target) == ["a.bin.partial"]
    there = (target.parent / "a.bin.partial").stat().st_size
    assert there > 150_000
    fetch(site, target)
    assert site.asked[1:] == [("a.bin", f"bytes={there}-")]
    assert target.read_bytes() == CONTENT
    assert names(target) == ["a.bin"]


def test_a_server_that_sends_only_whole_files_starts_over(site, target):
    site.ranges = False
    site.faults = [-200_000]
    fetch(site, target)
    assert len(site.asked) == 2
    assert target.read_bytes() == CONTENT


def test_a_download_that_lacked_only_its_name_gets_it(site, target):
    target.parent.mkdir()
    (target.parent / "a.bin.partial").write_bytes(CONTENT)
    fetch(site, target)
    assert site.asked == [("a.bin", f"bytes={len(CONTENT)}-")]
    assert names(target) == ["a.bin"]


@pytest.mark.parametrize("left", [b"of another file", bytes(600_000)])
def test_a_rest_of_another_file_is_replaced(site, target, left):
    target.parent.mkdir()
    (target.parent / "a.bin.partial").write_bytes(left)
    fetch(site, target)
    assert target.read_bytes() == CONTENT
    assert site.asked == [("a.bin", f"bytes={len(left)}-"), ("a.bin", None)]


def test_without_a_checksum_nothing_is_resumed(site, target):
    target.parent.mkdir()
    (target.parent / "a.bin.partial").write_bytes(b"of another file")
    fetch(site, target, None)
    assert target.read_bytes() == CONTENT


def test_a_file_with_another_checksum_is_not_kept(site, target):
    with pytest.raises(InputError, match=r"bin sends does not have .*md5:0000.* put it at .*bin"):
        fetch(site, target, WRONG)
    assert names(target) == []
    assert len(site.asked) == 1


def test_a_busy_server_is_asked_again(site, target, monkeypatch):
    waits = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    site.faults = [500, (503, {"Retry-After": "7"}), 429]
    fetch(site, target)
    assert target.read_bytes() == CONTENT
    assert len(site.asked) == 4
    assert waits == [7]


@pytest.mark.parametrize(
    ("faults", "requests", "message"),
    [
        ([404], 1, r"cannot download .*a\.bin: 404 .*put it at .*a\.bin\."),
        ([403], 1, "403"),
        ([503] * 20, module._TRIES, "503"),
        ([-100_000] + [500] * 20, module._TRIES, "run the same command again to resume"),
        ([-1] * 20, module._TRIES, "cannot download"),
    ],
)
def test_what_does_not_pass_ends_in_one_error(site, target, faults, requests, message):
    site.faults = faults
    with pytest.raises(InputError, match=message):
        fetch(site, target)
    assert len(site.asked) == requests
    assert not target.exists()


def test_an_address_without_a_server_and_one_that_is_none(tmp_path, site):
    for url in ("http://127.0.0.1:1/a.bin", "ftp://127.0.0.1/a.bin", "a.bin"):
        with pytest.raises(InputError, match=f"cannot download {url}"):
            download(url, tmp_path / "a.bin", checksum=None)


def test_a_proxy_from_the_environment_is_used(site, target, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = "http://elsewhere.invalid/a.bin"
    site.files[url] = CONTENT  # a proxy is asked for the whole address
    download(url, target, checksum=MD5)
    assert site.asked == [(url, None)]


def test_a_file_that_does_not_fit_on_the_disk_is_not_begun(site, target, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(len(CONTENT) - 1))
    with pytest.raises(InputError, match=r"the rest of .*a\.bin needs 0\.00 GB.*Free some space"):
        fetch(site, target)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(len(CONTENT)))
    fetch(site, target)


def test_a_disk_that_fills_up_is_reported_and_the_download_resumed_later(site, target, monkeypatch):
    target.parent.mkdir()
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    part = target.parent / "a.bin.partial"
    part.symlink_to(full)
    with pytest.raises(InputError, match=r"cannot write .*a\.bin: .*No space left.*resumes"):
        fetch(site, target)
    assert not target.exists()
    part.unlink()
    fetch(site, target)
    assert target.read_bytes() == CONTENT


def _download_in_a_process(url, target):
    download(url, target, checksum=MD5)


def test_processes_that_want_the_same_file_take_turns(site, target):
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_download_in_a_process, args=(site.address("a.bin"), target))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(site.asked) == 1
    assert names(target) == ["a.bin"]
