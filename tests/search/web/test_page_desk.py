"""Collections and exports on the page, in a real browser; the searcher finds all sounds."""

import json
import subprocess
import sys
import urllib.request

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from tests.browser import DESKTOP, PHONE, Page, chromium
from utils.runtime.paths import PROJECT_ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]

SERVE = """
import contextlib, sys
from pathlib import Path
from tests.search.web.test_serve import FakeSearcher, make_library
from utils.search.moments import Moment, Moments
from utils.search.web.app import create_app
from utils.search.web.server import address_of, listen, serve
from utils.search.web.service import Service

class Finder:
    def find(self, query, sound, *, at, count):
        return Moments([Moment(0.5, 1.25, 0.9), Moment(1.5, 2.0, 0.6)], 0.0, [0.1, 0.5, 0.4, 0.3])

names = ["doors/a door.wav", "<b>.aiff", "c: d.flac", "a gone sound.wav"]
searcher = FakeSearcher(make_library(Path(sys.argv[1]), names))
searcher.moment_finder = Finder()
with searcher.engine.library.database.writing() as connection:
    levels = enumerate([-9.0, -5.0, -7.0])
    update = "UPDATE contents SET loudness = ? WHERE content = ?"
    connection.executemany(update, [(level, content) for content, level in levels])
listener = listen("127.0.0.1", 0)
app = create_app(Service(searcher), host="127.0.0.1")
address = address_of(listener, "127.0.0.1")
with contextlib.suppress(KeyboardInterrupt):
    serve(app, listener, ready=lambda: print(address, flush=True))
"""
NAMES = ["doors/a door.wav", "<b>.aiff", "c: d.flac", "a gone sound.wav"]

# Whether an element is what is seen, and clicked, in its middle.
AT_ITS_MIDDLE = """((selector) => {
  const one = document.querySelector(selector);
  const { left, top, width, height } = one.getBoundingClientRect();
  return document.elementFromPoint(left + width / 2, top + height / 2) === one;
})(arguments[0])"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), DESKTOP) as driver:
        yield driver


@pytest.fixture
def page(driver, tmp_path):
    """The page of a server of its own, whose downloads come into `downloads`."""
    command = [sys.executable, "-c", SERVE, tmp_path / "sounds"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT) as server:
        page = Page(driver, server.stdout.readline().strip().rstrip("/"))
        page.errors()
        page.folder, page.downloads = tmp_path / "sounds", tmp_path / "downloads"
        behaviour = {"behavior": "allow", "downloadPath": str(page.downloads)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        yield page
        errors = page.errors()
        driver.get("about:blank")
        server.kill()
    assert page.refused or errors == []


def outcome(page):
    page.wait(lambda: page.one("#desk .outcome").text)
    return page.one("#desk .outcome").text


def tick(page, *rows):
    """Tick rows by the keyboard, from the query down."""
    page.one("#query").click()
    for row in range(max(rows) + 1):
        page.press(Keys.ARROW_DOWN if row == 0 else "j")
        if row in rows:
            page.press("x")


def collect(page, name):
    page.press("a")
    page.press(name, Keys.ENTER)
    return outcome(page)


def downloaded(page, name):
    page.wait(lambda: (page.downloads / name).exists())
    return (page.downloads / name).read_text()


def test_sounds_are_ticked_collected_and_taken_out_by_the_keyboard(page):
    assert page.results("q=a+dog") == NAMES
    assert not page.one("#desk").is_displayed()
    tick(page, 0, 2)
    assert page.one("#desk .count").text == "2 ticked"
    assert collect(page, "doors & <b>") == "2 items added to doors & <b>"
    assert not page.all(".tick:checked")
    page.one("#query").click()
    page.press(Keys.ARROW_DOWN, "o")
    page.wait(lambda: page.run("document.activeElement.matches('#collections .name')"))
    assert page.one("#collections li bdi").text == "doors & <b>"
    names = page.after(lambda: page.press(Keys.ENTER))
    assert names[:2] == ["doors/a door.wav", "c: d.flac"]
    assert page.one("#collection .name").text == "doors & <b>"
    assert page.driver.title == "doors & <b> – Sound search"
    assert page.all(".hit .why")[0].is_displayed() is False
    page.press(Keys.ESCAPE)
    page.one("#query").click()
    page.press(Keys.ARROW_DOWN)
    assert page.after(lambda: page.press(Keys.DELETE))[0] == "c: d.flac"
    assert outcome(page) == "1 item removed from doors & <b>"
    assert page.run("document.activeElement.querySelector('.file').textContent") == "c: d.flac"
    page.driver.back()
    page.wait(lambda: page.names() == NAMES)


def test_hits_are_sorted_by_the_address_and_the_select(page):
    by_name = ["<b>.aiff", "doors/a door.wav", "a gone sound.wav", "c: d.flac"]
    assert page.results("q=a+dog&sort=name") == by_name
    assert page.one("#status").text.startswith("4 sounds, by name · ")
    levels = page.run("[...document.querySelectorAll('.hit .loudness')].map(x => x.textContent)")
    assert levels == ["−5.0 LUFS", "−9.0 LUFS", "", "−7.0 LUFS"]
    names = page.after(lambda: Select(page.one("#sort")).select_by_value("-loudness"))
    assert names == ["<b>.aiff", "c: d.flac", "doors/a door.wav", "a gone sound.wav"]
    assert page.one("#status").text.startswith("4 sounds, loudest first · ")
    page.search("another dog")
    assert "sort=-loudness" in page.driver.current_url
    page.after(lambda: Select(page.one("#sort")).select_by_value("score"))
    assert page.names() == NAMES
    assert "sort" not in page.driver.current_url


def test_collections_are_renamed_and_deleted(page):
    page.results("q=a+dog")
    tick(page, 1)
    collect(page, "one")
    page.one("#open-collections").click()
    page.wait(lambda: page.run("document.activeElement.matches('#collections .name')"))
    page.one("#collections [aria-label='Rename one']").click()
    page.press("two", Keys.ENTER)
    page.wait(lambda: page.run("document.querySelector('#collections bdi')?.textContent") == "two")
    page.one("#collections [aria-label='Delete two']").click()
    assert page.one("#collections .danger").text == "Really delete 1 item"
    page.press(Keys.ENTER)
    page.wait(lambda: page.one("#collections .none").is_displayed())


def test_what_is_ticked_is_exported_as_moments_or_whole_sounds(page):
    page.results("q=a+dog")
    page.wait(lambda: len(page.all(".moments .chip")) == 8)
    tick(page, 0)
    page.press("e", "J", Keys.TAB, Keys.ENTER)
    assert outcome(page) == "1 item exported"
    (one,) = json.loads(downloaded(page, "sounds.json"))
    assert (one["query"], one["start"], one["end"]) == ("a dog", 0.5, 1.25)
    assert one["path"] == str(page.folder / "doors/a door.wav")
    (page.downloads / "sounds.json").unlink()
    page.one("#whole").click()
    page.one("#export").click()
    (one,) = json.loads(downloaded(page, "sounds.json"))
    assert (one["start"], one["end"]) == (0.0, 2.0)


def test_a_collection_is_exported_without_what_is_missing(page):
    page.results("q=a+dog")
    tick(page, 0, 1, 2, 3)
    collect(page, "all of them")
    page.open("/?collection=1")
    page.found()
    assert page.one("#desk .count").text == "All 4"
    page.one("#export-as").send_keys("EDL, 25")
    page.one("#export").click()
    assert outcome(page) == "4 items exported"
    assert downloaded(page, "all of them.edl").startswith("TITLE: all of them\n")


def test_a_large_collection_is_shown_in_steps(page):
    page.results("q=a+dog")
    library = page.run("document.querySelector('.hit').pick.library")
    picks = [{"sound": n % 4, "start": n / 1000, "end": 1 + n / 1000} for n in range(250)]
    for path, content in (
        ("/api/v1/collections", {"name": "many"}),
        ("/api/v1/collections/1/items", {"library": library, "picks": picks}),
    ):
        request = urllib.request.Request(page.address + path, json.dumps(content).encode())
        urllib.request.urlopen(request, timeout=30).close()
    page.open("/?collection=1")
    assert len(page.found()) == 100
    assert page.one("#status").text == "250 items"
    for count in (200, 250):
        page.run("document.querySelector('#more').focus()")
        assert page.run(AT_ITS_MIDDLE, "#more")  # not under the bar
        assert len(page.after(lambda: page.press(Keys.ENTER))) == count
    assert not page.one("#more").is_displayed()
    page.one("#export").click()
    assert outcome(page) == "250 items exported"


def test_the_path_of_a_sound_is_copied(page):
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"origin": page.address, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    page.results("q=a+dog")
    page.one("#query").click()
    page.press(Keys.ARROW_DOWN, "c")
    path = str(page.folder / "doors/a door.wav")
    assert outcome(page) == f"Copied {path}"
    read = "navigator.clipboard.readText().then(arguments[0])"
    assert page.driver.execute_async_script(read) == path


def test_a_sound_is_dragged_out_as_a_file(page):
    page.results("q=a+dog")
    dragged = page.run(
        """[...document.querySelectorAll('.hit h2')].map((handle) => {
          const dataTransfer = new DataTransfer();
          handle.dispatchEvent(new DragEvent('dragstart', { dataTransfer, bubbles: true }));
          return dataTransfer.getData('DownloadURL');
        })"""
    )
    assert (
        dragged[0]
        == f"application/octet-stream:a door.wav:{page.address}/api/v1/sounds/0/file?library=t"
    )
    assert dragged[2].startswith("application/octet-stream:c_ d.flac:http://")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_nothing_is_wider_than_the_window(page, size):
    page.results("q=a+dog", size=size)
    tick(page, 0, 1)
    page.one("#open-collections").click()
    assert page.one("#desk").is_displayed()
    assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
