"""Two users in browsers of their own, on real sounds, while an update tags new ones."""

import csv
import json
import shutil
from collections import Counter
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import DESKTOP, Page, chromium
from tests.debian import debian_sounds
from tests.search.web.test_page import serving
from utils.files.reading import sha256
from utils.runtime.paths import PROJECT_ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]

SONGS = ["dtox3monomix", "lucky-holiday-cornbread-stuffing-mono", "lucky13-steve-mono-mix"]
BANGS = [f"metalbang{number}.ogg" for number in range(1, 9)]
LATER = [*BANGS, "destiny_facedown.ogg", "highscoremusic.ogg"]  # two minutes to tag
PAGE_FILES = {path.name for path in (PROJECT_ROOT / "utils/search/web/page").iterdir()}


@pytest.fixture
def folder(tmp_path):
    """The sounds of the package without the songs, and without those that come later."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for path in debian_sounds():
        if path.stem not in SONGS and path.name not in LATER:
            shutil.copy(path, folder)
    return folder


@pytest.fixture
def users(folder, trained, tmp_path):
    """Two pages of one server in two browsers, which made no errors when the test is over."""
    with (
        serving(folder, trained) as (address, _),
        chromium(tmp_path / "first", DESKTOP) as first,
        chromium(tmp_path / "second", DESKTOP) as second,
    ):
        pages = [Page(first, address), Page(second, address)]
        for page in pages:
            page.driver.get("about:blank")
            page.errors()  # those of the browser's own first page
        yield pages
        assert {path for page in pages for path in asked_of(page) if not is_known(path)} == set()


def is_known(path):
    return path.startswith("/api/v1/") or path == "/" or path[1:] in PAGE_FILES


def asked_of(page):
    """Count the paths that a page requested; what the console and other hosts have, as it is."""
    asked = Counter(entry["message"] for entry in page.driver.get_log("browser"))
    for entry in page.driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            ours = url.startswith(f"{page.address}/")
            asked[urlsplit(url).path if ours else url] += not url.startswith(("blob:", "data:"))
    return +asked


def type_query(page, text):
    """Search by the keyboard alone."""
    page.press("/")
    return page.after(lambda: page.press(Keys.BACKSPACE, text, Keys.ENTER))


def outcome(page):
    return page.wait(lambda: page.one("#desk .outcome").text)


def look_for_new_sounds(page, message):
    page.one("#update").click()
    page.wait(lambda: page.one("#update-state").text.startswith(message), seconds=300)


def test_two_users_work_while_new_sounds_are_tagged(users, folder, tmp_path):
    listener, collector = users
    downloads = {"behavior": "allow", "downloadPath": str(tmp_path / "downloads")}
    collector.driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    collector.open()
    listener.open("/?q=name:metalbang*")
    listener.wait(lambda: listener.one("#status").text == "Nothing was found.")
    before = {path.name for path in folder.iterdir()}
    for path in debian_sounds():
        if path.name in LATER:
            shutil.copy(path, folder)
    look_for_new_sounds(listener, "Busy tagging: ")

    # The first user searches, and listens.
    assert set(listener.search("a thunderstorm")) <= before
    listener.one(".hit .play").click()
    listener.hear()

    # The second collects two sounds, renames the collection and exports it, by the keyboard alone.
    collector.press("explosion", Keys.ENTER)
    names = collector.found()
    collector.press(Keys.ARROW_DOWN, "x", "j", "j", "x")
    collector.press("a")
    collector.press("bangs", Keys.ENTER)
    assert outcome(collector) == "2 items added to bangs"
    collector.press("o")
    collector.wait(lambda: collector.run("document.activeElement.matches('#collections .name')"))
    collector.press(Keys.TAB, Keys.ENTER)
    collector.press("big bangs", Keys.ENTER)
    shown = "document.activeElement.querySelector('bdi')?.textContent"
    collector.wait(lambda: collector.run(shown) == "big bangs")
    collected = [names[0], names[2]]
    assert collector.after(lambda: collector.press(Keys.ENTER)) == collected
    collector.press("e", Keys.TAB, Keys.ENTER)
    assert outcome(collector) == "2 items exported"
    table = tmp_path / "downloads/big bangs.csv"
    collector.wait(table.exists)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(folder / name) for name in collected]
    assert [row["sha256"] for row in rows] == [sha256(folder / name) for name in collected]

    # Both find what is new.
    message = f"{len(before) + len(LATER)} sounds now: {len(LATER)} files new or changed."
    listener.wait(lambda: listener.one("#update-state").text == message, seconds=300)
    assert sorted(listener.search("name:metalbang*")) == BANGS
    assert sorted(type_query(collector, "name:metalbang*")) == BANGS

    # The collection survives a file that is renamed.
    (folder / "renamed").mkdir()
    (folder / names[0]).rename(folder / "renamed/a bang.ogg")
    look_for_new_sounds(listener, f"{len(before) + len(LATER)} sounds now: ")
    collector.driver.back()
    collector.wait(lambda: collector.names() == ["renamed/a bang.ogg", names[2]])
    assert collector.driver.find_elements(By.CSS_SELECTOR, ".hit.gone") == []
