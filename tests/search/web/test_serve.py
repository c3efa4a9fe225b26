"""The addresses of the page, with an engine that finds all sounds in order."""

import errno
import io
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import anyio
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from tests import libraries
from tests.contract import Contract, checked
from utils.datasets.audioset import read_labels
from utils.runtime.errors import InputError
from utils.search.file_table import ListedFile, record
from utils.search.filters import Filter
from utils.search.hits import Hit, Reason
from utils.search.inventory import Inventory
from utils.search.library import Library
from utils.search.moments import Moment, Moments
from utils.search.query_plan import read_query
from utils.search.sound_folder import Changes
from utils.search.web import clips
from utils.search.web.api.openapi import describe
from utils.search.web.app import create_app, operations_of
from utils.search.web.service import Service
from utils.settings.config import Config

RATE = 8_000
FAILED = {"broken \udcff.wav": "cannot be read as sound"}
ODD = [
    "<img src=x onerror=alert(1)>.wav",
    "a \"b\" & 'c'.wav",
    "line\nbreak.wav",
    "\u202egnp.wav",
    os.fsdecode(b"caf\xe9.wav"),
]


def make_library(folder: Path, names: list[str], seconds=2.0, failed=FAILED) -> Library:
    """A library of sounds that are there, each with one passage and a row of its own number."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        if not (folder / name).exists():
            time = np.arange(round(seconds * RATE)) / RATE
            samples = 0.4 * np.sin(2e3 * (number + 1) * time)
            with (folder / name).open("w+b") as file:  # libsndfile opens UTF-8 names alone
                soundfile.write(file, samples, RATE, format=Path(name).suffix[1:])
    count = len(names)
    return libraries.make_library(
        folder.with_name("library.sqlite"),
        [(name,) for name in names],
        np.arange(count, dtype=np.float32)[:, None],
        np.zeros((count, 527), np.float16),
        folder=folder,
        seconds=seconds,
        failed=failed,
    )


class FakeEngine:
    """Finds all sounds, in their order; notes what it was asked."""

    dimension = 1

    def __init__(self, library):
        self.library = library
        self.tags = read_labels()
        self.asked = []

    def vectors_of(self, sound, start):
        return np.array([[100 + sound + (start or 0)]], np.float32)

    def search(self, vector, *, top, filters=(), itself=None, duplicates="show"):
        vector = float(vector.ravel()[0])
        asked = SimpleNamespace(
            vector=vector, top=top, filters=filters, itself=itself, duplicates=duplicates
        )
        self.asked.append(asked)
        return [_hit(*one) for one in [*self.library.sounds().items()][:top]]


def _hit(number, sound):
    place = (sound.duration, 0.0, 2.0, False)
    scores = ([Reason("Dog", 0.9, 0.1)], 0.3, 0.2, [])
    return Hit(7, 0.5, number, sound.paths, *place, *scores, loudness=sound.loudness)


class FakeSearcher:
    demo_note = "only the demo"
    model_id = "m"
    is_current = True
    moment_finder = None
    config = Config()

    def __init__(self, library):
        self.engine = FakeEngine(library)
        self.changes = Changes(0, 0, 0, {"a.txt": ".txt", ".b": "hidden"})
        self.heard = []

    @property
    def inventory(self):
        return Inventory.of(self.engine.library, self.changes)

    def embed_text(self, texts):
        return np.array([[len(text)] for text in texts], np.float32)

    def embed_example(self, path):
        self.heard.append(path)
        return np.array([[soundfile.info(path).duration]], np.float32), None

    def read_query(self, line):
        return read_query(line, self.engine.tags)

    def notes_on(self, text):
        return ["cut"] if len(text) > 4 else []

    def update(self, progress):
        with progress(2, "tagging", "s of sound") as bar:
            bar.update(1)
            bar.update(1)

    def measure(self, progress):
        return 0


@pytest.fixture
def searcher(tmp_path):
    return FakeSearcher(make_library(tmp_path / "sounds", ["sub/a.wav", "b.aiff", "c.flac", *ODD]))


def browse(searcher, *, host="127.0.0.1", **options):
    """A client that checks each answer against what is said of it."""
    service = Service(searcher)
    client = TestClient(create_app(service, host=host), base_url=f"http://{host}:8000", **options)
    return checked(client, Contract(describe(operations_of(service, host=host))))


class FakeFinder:
    """Finds a moment where it is told to look."""

    def find(self, query, sound, *, at, count):
        return Moments([Moment(at, at + count, float(query[0]))], 1.5, [0.1, 0.2 * sound])


@pytest.fixture
def page(searcher):
    with browse(searcher) as client:
        yield client


def of_sound(number, what, library):
    return f"/api/v1/sounds/{number}/{what}?library={library}"


def token_of(page):
    return page.get("/api/v1/library").json()["library"]


@pytest.fixture
def token(page):
    return token_of(page)


def test_moments_of_a_sound_are_sent_with_their_curve(searcher):
    searcher.moment_finder = FakeFinder()
    with browse(searcher) as page:
        about = page.get("/api/v1/library").json()
        asked = {"q": "rain", "library": about["library"], "at": "7.5"}
        assert about["moments"] is True
        assert page.get("/api/v1/sounds/2/moments", params=asked).json() == {
            "moments": [{"start": 7.5, "end": 12.5, "score": 4.0}],
            "begin": 1.5,
            "step": 0.5,
            "curve": [0.1, 0.4],
        }
        for wrong, sound, status in (
            ({"q": " "}, "2", 400),
            ({"at": "nan"}, "2", 400),
            ({}, "-1", 400),
            ({}, "99", 404),
            ({"library": "0"}, "2", 409),
        ):
            answer = page.get(f"/api/v1/sounds/{sound}/moments", params=asked | wrong)
            assert answer.status_code == status
        asked["count"] = 1
        (found,) = page.get("/api/v1/sounds/2/moments", params=asked).json()["moments"]
        assert found["end"] == 8.5
        hits = page.get("/api/v1/search?q=rain&moments=3&top=2").json()["hits"]
        assert [hit["moments"] for hit in hits] == 2 * [[{"start": 1.0, "end": 4.0, "score": 4.0}]]
        hits = page.get("/api/v1/search?q=rain").json()["hits"]
        assert {len(hit["moments"]) for hit in hits} == {0}


def test_without_moments_the_page_is_told(page, token):
    assert page.get("/api/v1/library").json()["moments"] is False
    answer = page.get("/api/v1/sounds/0/moments", params={"q": "rain", "library": token})
    assert answer.status_code == 404
    assert answer.json()["error"] == "Moments are off: search.moments is False."


def refused(answer, status, message):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert re.search(message, answer.json()["error"]), answer.json()


def test_the_page_and_its_parts_are_served_and_nothing_else(page):
    html = page.get("/")
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    parts = re.findall(r'(?:src|href)="([\w.]+\.\w+)"', html.text)
    assert set(parts) == {"icon.svg", "style.css", "app.js"}
    scripts = re.findall(r"from '\./(\w+\.js)'", page.get("/app.js").text)
    for name in (*parts, *scripts):
        assert page.get(f"/{name}").status_code == 200
    for name in ("app.py", "../app.py", "%2e%2e/app.py", "page", "index.html/", "sounds"):
        refused(page.get(f"/{name}"), 404, "Not Found")
    refused(page.post("/"), 405, "Method Not Allowed: POST /")


def test_the_page_asks_no_other_host_and_builds_no_html_from_text():
    for path in (Path(clips.__file__).parent / "page").iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*//.*$|\s// .*$", "", text, flags=re.MULTILINE), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval", text)
        assert not re.search(r"\son\w+=|style=\"|<script>|<style>", text), path.name


def test_the_library_is_described(page):
    about = page.get("/api/v1/library").json()
    assert (about["sounds"], about["folder"], about["note"]) == (8, "sounds", "only the demo")
    assert about["failed"] == [{"name": "broken \\udcff.wav", "reason": "cannot be read as sound"}]
    assert about["unusable"] == {"cannot be read as sound": 1}
    assert about["other"] == {".txt": 1, "hidden": 1}
    assert (about["files"], about["duplicates"]) == (8, 0)
    assert len(about["tags"]) == 527


def test_fifty_unusable_files_are_listed_and_all_are_counted(searcher):
    failed = {f"{n}.wav": ListedFile(1, 1, None, f"holds {n} samples") for n in range(130)}
    record(searcher.engine.library.database, failed)
    with browse(searcher) as page:
        about = page.get("/api/v1/library").json()
    assert len(about["failed"]) == 50
    assert about["failed_count"] == 131
    assert about["unusable"] == {"holds … samples": 130, "cannot be read as sound": 1}
    assert about["failed_list"] == "failed_files.csv"


def test_what_of_a_query_does_not_count_is_noted(page):
    assert page.get("/api/v1/search?q=rain").json()["notes"] == []
    assert page.get("/api/v1/search?q=thunder").json()["notes"] == ["cut"]


def test_messages_may_hold_what_is_not_utf8(searcher):
    reason = "is a symlink that leaves it (to /caf\udce9)"
    record(searcher.engine.library.database, {"b.wav": ListedFile(1, 1, None, reason)})

    def update(progress):
        raise InputError("cannot write /caf\udce9.")

    searcher.update = update
    with browse(searcher) as page:
        listed = page.get("/api/v1/library").json()["failed"]
        assert {"name": "b.wav", "reason": reason} in listed
        page.post("/api/v1/update")
        assert finish_update(page)["error"] == "cannot write /caf\udce9."


def test_words_find_sounds(page, searcher, token):
    answer = page.get("/api/v1/search", params={"q": "a dog", "tag": ["dog > 0.3", "Speech<0.2"]})
    content = answer.json()
    assert content["library"] == token
    assert [hit["rank"] for hit in content["hits"]] == list(range(1, 9))
    assert content["hits"][0]["paths"] == ["sub/a.wav"]
    assert content["hits"][0]["tags"] == [{"tag": "Dog", "probability": 0.9, "contribution": 0.1}]
    (asked,) = searcher.engine.asked
    assert (asked.vector, asked.top) == (5.0, 20)
    assert asked.filters == [Filter("Dog", True, 0.3), Filter("Speech", False, 0.2)]


def test_odd_names_arrive_as_they_are_and_can_be_heard_and_seen(page, token):
    hits = page.get("/api/v1/search?q=rain").json()["hits"]
    names = [hit["paths"][0] for hit in hits[3:]]
    assert names == [*ODD[:-1], "caf\\udce9.wav"]
    for hit in hits:
        place = partial(of_sound, hit["sound"], library=token)
        assert page.get(place("audio")).content[:4] in (b"RIFF", b"fLaC")
        assert page.get(place("spectrogram.png")).content[:4] == b"\x89PNG"


def test_more_like_a_sound_leaves_the_sound_itself_out(page, searcher, token):
    content = page.get(f"/api/v1/search?like=2&library={token}&top=3").json()
    assert [hit["sound"] for hit in content["hits"]] == [0, 1, 3]
    assert [hit["rank"] for hit in content["hits"]] == [1, 2, 3]
    assert content["like"] == {"name": "c.flac", "duration": 2.0}
    assert (searcher.engine.asked[0].vector, searcher.engine.asked[0].top) == (102.0, 4)


def test_hits_are_sorted(page, searcher, token):
    with searcher.engine.library.database.writing() as connection:
        connection.execute("UPDATE contents SET loudness = -20.0 - content WHERE content < 2")
    for search in ("q=anything", f"like=7&library={token}"):
        answer = page.get(f"/api/v1/search?{search}&sort=loudness&top=3").json()
        assert [(hit["rank"], hit["sound"]) for hit in answer["hits"]] == [(1, 1), (2, 0), (3, 2)]
        assert [hit["loudness"] for hit in answer["hits"]] == [-21.0, -20.0, None]
        assert "the 3 best by score, sorted by loudness" in answer["notes"]


def test_more_like_a_passage_takes_that_passage(page, searcher, token):
    for start in ("", "&start=20"):
        page.get(f"/api/v1/search?like=2&library={token}{start}").raise_for_status()
    asked = searcher.engine.asked
    assert [(one.vector, one.itself) for one in asked] == [(102.0, 2), (122.0, 2)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("", "^Give one of q"),
        ("q=%20%0a", "^The query is empty: describe a sound"),
        ("q=a&like=1", "Give one of"),
        ("q=" + 4001 * "a", "^q has 4001 characters, more than 4000"),
        ("q=a&top=0", "top='0': give a whole number from 1 to 200"),
        ("q=a&top=201", "from 1 to 200"),
        ("q=a&top=" + 5000 * "9", "top='99"),
        ("q=a&top=²", "whole number"),
        ("q=a&tag=Dgo", "^tag filter 'Dgo': AudioSet has no tag 'Dgo'. Did you mean 'Dog'"),
        ("q=a&tag=Dog>7", "a probability from 0 to 1"),
        ("q=a&tag=" + 501 * "a", r"^tag\[0\] has 501 characters, more than 500"),
        ("q=a" + 21 * "&tag=Dog", "^tag has 21 values, more than 20"),
        ("q=a&q=b", "^q is given 2 times: give it once"),
        ("q=a&by=x", "^by='x': give one of both, meaning, words"),
        ("q=a&taag=Dog", "^There is no taag here. Known are: q, clip, like,"),
        (
            "q=a&sort=size",
            "^sort='size': give one of score, name, duration, date, loudness, -score",
        ),
        ("like=x", "like='x'"),
        ("like=-1", "like='-1'"),
        ("like=0&start=nan", "start='nan': give a number"),
        ("like=0&start=x", "start='x': give a number"),
    ],
)
def test_an_invalid_search_is_refused(page, parameters, message):
    refused(page.get(f"/api/v1/search?{parameters}"), 400, message)


def test_sounds_have_numbers_and_no_paths(page, token):
    refused(page.get(of_sound(8, "audio", token)), 404, "no sound number 8")
    for number in ("-1", "1e1", "..%2f..%2fsecret", "0x1", 5000 * "1", "%00"):
        answer = page.get(of_sound(number, "audio", token))
        assert answer.status_code in (400, 404), number
        assert "error" in answer.json()
    refused(page.get(f"/api/v1/search?like=8&library={token}"), 404, "no sound number 8")
    # A page of an older library.
    for address in (of_sound(1, "audio", "0123"), of_sound(1, "spectrogram.png", "0123")):
        refused(page.get(address), 409, "are of another library. Search again")
    refused(page.get("/api/v1/search?like=1"), 409, "Search again")


def test_a_sound_is_sent_in_ranges_decoded_where_browsers_would_not_play_it(page, token):
    for number, media_type in ((0, "audio/wav"), (1, "audio/wav"), (2, "audio/flac")):
        whole = page.get(of_sound(number, "audio", token))
        assert whole.headers["content-type"] == media_type
        assert len(whole.content) == int(whole.headers["content-length"])
        part = page.get(of_sound(number, "audio", token), headers={"range": "bytes=40-1000"})
        assert part.status_code == 206
        assert part.content == whole.content[40:1001]
        head = page.head(of_sound(number, "audio", token))
        assert head.headers["content-length"] == whole.headers["content-length"]
    assert page.get(of_sound(2, "audio", token) + "&decode=true").content[:4] == b"RIFF"
    for what in ("audio", "file"):
        size = page.head(of_sound(0, what, token)).headers["content-length"]
        beyond = page.get(of_sound(0, what, token), headers={"range": "bytes=9999999-"})
        refused(beyond, 416, f"^Range 'bytes=9999999-': the sound has {size} bytes")
        assert beyond.headers["content-range"] == f"bytes */{size}"
        wrong = page.get(of_sound(0, what, token), headers={"range": "seconds=1-2"})
        refused(wrong, 400, "^Range 'seconds=1-2': give bytes=FIRST-LAST")
        several = page.get(of_sound(0, what, token), headers={"range": "bytes=0-9,90-99"})
        assert several.headers["content-type"].startswith("multipart/byteranges")
    etag = page.get(of_sound(0, "audio", token)).headers["etag"]
    again = page.get(of_sound(0, "audio", token), headers={"if-none-match": etag})
    assert again.status_code == 304


def test_files_that_are_missing_or_lead_out_by_now_are_refused(page, token, tmp_path):
    (tmp_path / "sounds/b.aiff").unlink()
    (tmp_path / "secret.flac").write_bytes((tmp_path / "sounds/c.flac").read_bytes())
    (tmp_path / "sounds/c.flac").unlink()
    (tmp_path / "sounds/c.flac").symlink_to(tmp_path / "secret.flac")
    (tmp_path / "sounds/sub/a.wav").write_bytes(b"no sound")
    for kind in ("audio", "spectrogram.png"):
        refused(page.get(of_sound(1, kind, token)), 410, r"b\.aiff is missing")
        refused(page.get(of_sound(2, kind, token)), 404, r"c\.flac can no longer be opened")
        refused(page.get(of_sound(0, kind, token)), 400, r"^sub/a\.wav cannot be read as sound")


def test_a_copy_replaces_a_missing_file(tmp_path):
    library = make_library(tmp_path / "sounds", ["a.wav", "b.wav"])
    record(library.database, {"a gone.wav": ListedFile(1, 1, libraries.source_of(1))})
    with browse(FakeSearcher(library)) as page:
        token = token_of(page)
        sent = page.get(of_sound(1, "audio", token)).content
    assert sent == (library.folder / "b.wav").read_bytes()


def test_without_descriptors_a_request_is_told_when_to_come_back(page, token, monkeypatch, caplog):
    def full(*arguments, **options):
        raise OSError(errno.EMFILE, "Too many open files")

    addresses = [of_sound(0, "audio", token), of_sound(1, "spectrogram.png", token), "/style.css"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        patch.setattr(Path, "read_bytes", full)
        answers = [page.get(address) for address in addresses]
    for answer in answers:
        refused(answer, 503, "^The server is busy")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
    assert len(caplog.messages) <= 1
    for address in addresses:
        assert page.get(address).status_code == 200


@pytest.fixture(autouse=True)
def _no_clip_stays(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    assert not list(folder.glob("clip-*"))


def test_a_clip_is_searched_by_and_forgotten(page, searcher, tmp_path):
    data = (tmp_path / "sounds/c.flac").read_bytes()
    clip = page.post("/api/v1/clips", content=data).json()
    assert clip["duration"] == 2.0
    assert page.get("/api/v1/search", params={"clip": clip["clip"], "top": 2}).status_code == 200
    assert (searcher.engine.asked[0].vector, searcher.engine.asked[0].top) == (2.0, 2)
    assert not searcher.heard[0].exists()
    refused(
        page.get("/api/v1/search?clip=unknown"), 410, "has forgotten this clip. Choose it again"
    )


def test_only_the_last_clips_are_kept(searcher, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "_KEPT", 2)
    data = (tmp_path / "sounds/c.flac").read_bytes()
    with browse(searcher) as page:
        names = [page.post("/api/v1/clips", content=data).json()["clip"] for _ in range(3)]
        statuses = [page.get(f"/api/v1/search?clip={name}").status_code for name in names]
    assert statuses == [410, 200, 200]


def test_a_too_large_clip_is_refused_while_it_arrives_even_if_its_header_is_wrong(
    page, monkeypatch
):
    monkeypatch.setattr(clips, "MAX_BYTES", 1000)
    pieces = (bytes(100) for _ in range(1000))
    refused(page.post("/api/v1/clips", content=pieces), 413, "larger than")
    answer = page.post("/api/v1/clips", content=bytes(5000), headers={"content-length": "10"})
    refused(answer, 413, "larger than")


def silence(seconds, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(seconds * rate, np.int16), rate, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "status", "message"),
    [
        (lambda: b"", 415, "^The clip cannot be read as sound"),
        (lambda: b"<html>", 415, "^The clip cannot be read as sound"),
        (lambda: silence(400, format="WAV"), 413, r"^The clip has 400 s at 8000 Hz; .* are 300 s"),
        (lambda: silence(400, format="MP3"), 413, "^The clip has 301 s or more at 8000 Hz"),
        (  # packs well: little to send, much to hear
            lambda: silence(90, 655_350, format="FLAC"),
            413,
            "^The clip has 90 s at 655350 Hz; the limits are 300 s and 192000 Hz",
        ),
        (lambda: silence(1, format="WAV")[:1000], 415, "^The clip is truncated after"),
        (lambda: silence(0, format="WAV"), 415, "^The clip holds no samples"),
    ],
)
def test_unusable_clips_are_refused(page, make, status, message):
    refused(page.post("/api/v1/clips", content=make()), status, message)


def test_a_clip_that_stops_arriving_is_dropped(searcher, monkeypatch):
    monkeypatch.setattr(clips, "_RECEIVED_WITHIN", 0.05)

    async def stalled():
        yield b"RIFF"
        await anyio.sleep(20)

    with pytest.raises(InputError, match="did not arrive in"):
        anyio.run(Service(searcher).clips.receive, stalled())


def test_too_many_clips_at_once_are_refused(searcher):
    service = Service(searcher)

    async def run():
        done = anyio.Event()
        refusals = []

        async def waiting():
            await done.wait()
            yield b""

        async def receive():
            try:
                await service.clips.receive(waiting())
            except InputError as error:
                refusals.append(error.status)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            assert refusals == [503]
            done.set()
        assert sorted(refusals) == [415, 415, 415, 415, 503]  # nothing had been sent

    anyio.run(run)


def wait_for(page, condition):
    deadline = time.monotonic() + 20
    while not condition(state := page.get("/api/v1/update").json()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return state


def finish_update(page):
    return wait_for(page, lambda state: not state["running"])


def test_searching_works_during_an_update(page, searcher, token, tmp_path):
    proceed = threading.Event()

    def update(progress):
        with progress(3, "tagging", "sounds") as bar:
            bar.update(1)
            assert proceed.wait(20)
            bar.update(2)
        searcher.engine = FakeEngine(make_library(tmp_path / "sounds", ["new.wav", "c.flac"]))
        searcher.changes = Changes(1, 7, 0)

    searcher.update = update
    assert page.post("/api/v1/update").status_code == 202
    refused(page.post("/api/v1/update"), 409, "^An update is already running")
    busy = {"running": True, "what": "tagging", "unit": "sounds", "done": 1, "total": 3}
    wait_for(page, lambda state: state == busy)
    assert page.get("/api/v1/search?q=a").json()["library"] == token
    proceed.set()
    message = "2 sounds now: 1 file new or changed, 7 files gone."
    assert finish_update(page) == {"running": False, "message": message}
    assert len(page.get("/api/v1/search?q=a").json()["hits"]) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("the disk is full."), "the disk is full."),
        (ValueError("secret"), "The update failed: see the server's terminal."),
    ],
)
def test_a_failed_update_is_reported_and_can_be_tried_again(page, token, searcher, error, message):
    def update(progress):
        raise error

    searcher.update, works = update, searcher.update
    page.post("/api/v1/update")
    assert finish_update(page) == {"running": False, "error": message}
    searcher.update = works
    page.post("/api/v1/update")
    assert finish_update(page) == {"running": False, "message": "Nothing has changed."}
    assert page.get(of_sound(1, "audio", token)).status_code == 200  # the library is the same


def test_an_update_stops_with_the_server(searcher):
    tagged = []

    def update(progress):
        with progress(10**9, "tagging", "sounds") as bar:
            while True:
                bar.update(1)
                tagged.append(1)

    searcher.update = update
    service = Service(searcher)
    service.updates.start()
    service.updates.stop()
    count = len(tagged)
    assert service.updates.state == {"running": False, "error": "The server was stopped."}
    assert len(tagged) == count


def test_searches_do_not_wait_for_other_searches_or_pictures(page, searcher, token, monkeypatch):
    both = threading.Barrier(2, timeout=20)
    pictures = threading.Event()
    search = searcher.engine.search

    def slow_search(*arguments, **options):
        both.wait()  # passes only where two are here at the same time
        return search(*arguments, **options)

    def slow_picture(sound):
        assert pictures.wait(20)
        return b"picture"

    searcher.engine.search = slow_search
    monkeypatch.setattr("utils.audio.spectrogram.draw", slow_picture)
    with ThreadPoolExecutor(10) as pool:
        places = [of_sound(number, "spectrogram.png", token) for number in range(8)]
        drawn = [pool.submit(page.get, place) for place in places]
        found = [pool.submit(page.get, "/api/v1/search?q=a") for _ in range(2)]
        assert [one.result(20).status_code for one in found] == [200, 200]
        pictures.set()
        assert {one.result(20).content for one in drawn} == {b"picture"}


def test_a_picture_is_drawn_again_when_its_file_changes(page, token, tmp_path):
    first = page.get(of_sound(2, "spectrogram.png", token)).content
    soundfile.write(tmp_path / "sounds/c.flac", np.zeros(RATE), RATE)
    assert page.get(of_sound(2, "spectrogram.png", token)).content != first


def test_internal_errors_are_not_shown_in_the_browser(searcher, caplog):
    def search(*arguments, **options):
        raise ValueError("secret")

    searcher.engine.search = search
    with browse(searcher, raise_server_exceptions=False) as page:
        answer = page.get("/api/v1/search?q=a")
    refused(answer, 500, "^Something went wrong: see the server's terminal")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    # Which the server prints.
    with browse(searcher) as page, pytest.raises(ValueError, match="secret"):
        page.get("/api/v1/search?q=a")


def test_near_duplicates_are_folded_unless_they_are_to_be_shown(searcher):
    page = browse(searcher)
    for parameters, wanted in (("", "fold"), ("&duplicates=show", "show")):
        for query in ("q=rain", f"like=0&library={page.get('/api/v1/library').json()['library']}"):
            content = page.get(f"/api/v1/search?{query}{parameters}").json()
            assert searcher.engine.asked[-1].duplicates == wanted
            assert content["hits"][0]["duplicates"] == []
    refused = page.get("/api/v1/search?q=rain&duplicates=hide")
    assert refused.status_code == 400
    assert refused.json()["error"] == "duplicates='hide': give one of fold, show."
