"""The page in a real browser, served by the script, with a small model and a folder of sounds."""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser import DESKTOP, PHONE, Page, chromium
from tests.support import load_script, read_audio, run_python
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT
from utils.search.web.token_gate import leading_to

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]  # one server, one browser

LONG = "long walk.aiff"
ODD = [
    "<img src=x onerror=document.title=1>.wav",
    "a \"b\" & 'c'.wav",
    "line\nbreak.wav",
    "\u202egnp.wav",
    "🐕 犬.wav",
]


@pytest.fixture(scope="module")
def sounds(small_demo, tmp_path_factory):
    """Ten clips, five odd names, a copy, a broken file, and a sound of several passages."""
    folder = tmp_path_factory.mktemp("library") / "my sounds"
    shutil.copytree(small_demo / "clotho/evaluation", folder / "sub")
    clips = sorted((folder / "sub").iterdir())
    for name, clip in zip(ODD, sorted((small_demo / "clotho/validation").iterdir()), strict=False):
        shutil.copy(clip, folder / name)
    shutil.copy(clips[0], folder / "copy of the first.wav")
    (folder / "broken.flac").write_bytes(b"no sound")
    (folder / "score.pdf").write_bytes(b"no sound")
    (folder / ".hidden.wav").write_bytes(b"no sound")
    heard = [read_audio(clip, sample_rate=32_000) for clip in clips]
    soundfile.write(folder / LONG, np.concatenate(heard), 32_000)
    return folder


@contextmanager
def serving(sounds, trained, *arguments):
    """Run the script; yields its address and the process."""
    command = [sys.executable, PROJECT_ROOT / "scripts/08_serve.py", "--audio", sounds]
    command += ["--model", trained, "--index", sounds.parent / "index", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=sounds.parent
    )
    try:
        yield process.stdout.readline().split(" ")[0].rstrip("/"), process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def address(sounds, trained):
    with serving(sounds, trained) as (address, _):
        yield address


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), DESKTOP) as driver:
        yield driver


@pytest.fixture
def page(driver, address):
    page = Page(driver, address)
    page.errors()  # those of an earlier test
    yield page
    errors = page.errors()
    driver.get("about:blank")
    assert page.refused or errors == []


def names_of(sounds):
    first = min(path.name for path in (sounds / "sub").iterdir())
    usable = {str(path.relative_to(sounds)) for path in sounds.rglob("*.*") if path.is_file()}
    others = {"broken.flac", "score.pdf", ".hidden.wav"}
    return usable - others - {f"sub/{first}"}  # whose copy comes first


def test_words_find_sounds_and_the_address_holds_the_search(page, sounds):
    page.open()
    assert page.run("document.activeElement.id") == "query"
    assert page.one("#welcome").is_displayed()
    assert page.one("#demo").is_displayed()
    assert page.one("#library-name").text == "16 sounds in my sounds"
    page.one("#query").send_keys("a dog barks", Keys.ENTER)
    names = page.found()
    assert set(names) == names_of(sounds)
    assert page.one("#status").text.startswith("16 sounds, best first · ")
    assert urlsplit(page.driver.current_url).query == "q=a+dog+barks"
    scores = [float(score.text.replace("−", "-")) for score in page.all(".score")]
    assert scores == sorted(scores, reverse=True)
    other = page.search("rain and wind")
    assert page.driver.title == "rain and wind – Sound search"
    page.driver.back()
    page.wait(lambda: page.names() == names)
    assert page.one("#query").get_attribute("value") == "a dog barks"
    page.driver.forward()
    page.wait(lambda: page.names() == other)


def test_names_are_always_text(page):
    names = page.results()
    assert set(ODD) <= set(names)
    assert page.all("#results img, #results script") == []
    assert page.driver.title == "anything – Sound search"
    assert page.run("getComputedStyle(document.querySelector('.name')).unicodeBidi") == "isolate"
    page.one("#failed summary").click()
    broken = "broken.flac cannot be read as sound (Invalid data found when processing input)"
    assert page.one("#failed li").text == broken
    assert page.one("#failed p").text == "1 cannot be read as sound"
    assert page.one("#taken").text == (
        "17 files: 16 sounds, 1 duplicate. 2 other files skipped: 1 .pdf, 1 hidden."
    )


def test_more_unusable_files_than_are_listed_are_counted(driver, sounds, trained):
    folder = sounds.parent / "many"
    shutil.copytree(sounds / "sub", folder)
    for number in range(60):
        (folder / f"{number:02}.wav").write_bytes(b"no sound %d" % number)
    with serving(folder, trained, "--index", sounds.parent / "many index") as (address, _):
        page = Page(driver, address).open()
        page.errors()  # those of an earlier test
        page.one("#failed summary").click()
        *listed, more = page.all("#failed li")
        assert len(listed) == 50
        assert page.errors() == []
        assert more.text.startswith("… and 10 more: failed_files.csv in the folder of the index")


def test_pictures_are_drawn_and_a_sound_is_played(page):
    page.results()
    page.wait(lambda: page.all(".hit:first-child .ink.drawn"))
    play = page.one(".hit .play")
    assert page.playing() is None
    play.click()
    page.hear(0.3)
    assert play.get_attribute("aria-pressed") == "true"
    assert play.get_attribute("aria-label").startswith("Pause ")
    assert " / " in page.one(".hit .time").text
    page.all(".hit .play")[1].click()  # one sound at a time
    page.wait(lambda: page.playing() is not None and play.get_attribute("aria-pressed") == "false")
    page.all(".hit .play")[1].click()
    page.wait(lambda: page.playing() is None)


def test_a_long_sound_is_played_from_where_it_was_found(page):
    page.results()
    row = page.row(LONG)
    assert row.find_element(By.CSS_SELECTOR, ".passage").get_attribute("hidden") is None
    page.run("arguments[0].scrollIntoView()", row)
    moment, *_ = page.wait(lambda: row.find_elements(By.CSS_SELECTOR, ".moment"))
    start = float(moment.get_attribute("style").split("left: ")[1].split("%")[0]) / 100
    slider = row.find_element(By.CSS_SELECTOR, "[type=range]")
    row.find_element(By.CSS_SELECTOR, ".play").click()
    page.wait(lambda: page.playing() is not None and page.run("player.duration > 30"))
    duration = page.run("player.duration")
    page.wait(lambda: page.playing() > start * duration)
    assert page.playing() == pytest.approx(start * duration, abs=3)
    webdriver.ActionChains(page.driver).move_to_element(slider).click().perform()  # its middle
    page.wait(lambda: page.playing() == pytest.approx(duration / 2, abs=3))
    assert "/audio?library=" in page.run("player.currentSrc")


def test_moments_are_drawn_and_played_by_enter(page):
    for name in (LONG, ODD[1]):
        page.results("q=a+dog+barks")
        row = page.row(name)
        page.run("arguments[0].scrollIntoView()", row)
        moments = page.wait(lambda row=row: row.find_elements(By.CSS_SELECTOR, ".moments .chip"))
        label = moments[-1].get_attribute("aria-label")
        assert label.startswith(f"Play moment {len(moments)} of {name}: ")
        assert len(row.find_elements(By.CSS_SELECTOR, ".picture .moment")) == len(moments)
        duration = float(row.find_element(By.CSS_SELECTOR, "[type=range]").get_attribute("max"))
        points = row.find_element(By.CSS_SELECTOR, ".curve polyline").get_attribute("points")
        assert len(points.split(" ")) == int(np.ceil(2 * duration))
        minutes, seconds = label.rpartition(": ")[2].split("–")[0].split(":")
        start = 60 * int(minutes) + float(seconds)
        page.run("arguments[0].focus()", moments[-1])
        page.press(Keys.ENTER)
        page.wait(lambda start=start: (page.playing() or -1) >= start)
        assert page.playing() == pytest.approx(start, abs=3)
        page.press(Keys.ESCAPE)


def test_the_server_decodes_what_the_browser_cannot_play(page, sounds):
    page.results()
    page.run(
        "player.addEventListener('loadstart', () => {"
        "  if (!player.src.includes('decode=true')) player.dispatchEvent(new Event('error'));"
        "})"
    )
    page.one(".hit .play").click()
    page.hear()
    assert page.run("player.currentSrc").endswith("&decode=true")


def test_a_missing_file_is_reported_when_it_is_played(page, sounds):
    page.results()
    gone = sounds / ODD[4]
    gone.rename(sounds.parent / "elsewhere.wav")
    try:
        page.row(ODD[4]).find_element(By.CSS_SELECTOR, ".play").click()
        assert page.alert() == f"{ODD[4]} is missing. Look for new sounds."
        page.row(LONG).find_element(By.CSS_SELECTOR, ".play").click()
        page.hear()
        assert not page.one("#alert").is_displayed()
    finally:
        (sounds.parent / "elsewhere.wav").rename(gone)


def test_the_page_asks_again_if_the_server_is_busy(page):
    page.open()
    page.run(
        """(() => {
            const real = fetch, refused = new Set();
            window.fetch = async (address, options) => {
                const busy = new Response('{}', { status: 503, headers: { 'Retry-After': '0.1' } });
                if (refused.has(address)) return real(address, options);
                refused.add(address);
                return busy;
            };
            player.addEventListener('loadstart', () => {
                const { pathname, search } = new URL(player.src);
                if (!refused.has(pathname + search)) {
                    player.dispatchEvent(new Event('error'));
                }
            });
        })()"""
    )
    page.search("anything")
    page.one(".hit .play").click()
    page.hear()
    assert "decode" not in page.run("player.currentSrc")
    assert not page.one("#alert").is_displayed()


def test_a_long_query_is_not_cut_and_notes_are_shown(page):
    page.open()
    page.run(
        """(() => {
            const real = fetch;
            window.fetch = async (address, options) => {
                const answer = await (await real(address, options)).json();
                answer.notes = ['Only the first 384 word pieces were read.'];
                answer.hits[0].notes = 'very quiet; channels cancel';
                return new Response(JSON.stringify(answer));
            };
        })()"""
    )
    field = page.one("#query")
    text = 300 * "a dog "
    page.run("(arguments[0].value = arguments[1])", field, text)
    page.after(lambda: field.send_keys(Keys.ENTER))
    assert page.run("new URLSearchParams(location.search).get('q')") == text.strip()
    assert page.one("#notes").text == "Only the first 384 word pieces were read."
    assert page.one(".hit .remarks").text == "very quiet; channels cancel"
    assert not page.all(".hit .remarks")[1].is_displayed()
    page.run("(arguments[0].value = arguments[1])", field, 4001 * "a")
    field.send_keys(Keys.ENTER)
    assert page.alert() == "The query has 4001 characters, more than 4000. Shorten it."


def test_a_recording_finds_itself(page, sounds):
    clip = sorted((sounds / "sub").iterdir())[3]
    page.open()
    page.one("#file").send_keys(str(clip))
    names = page.found()
    assert names[0] == f"sub/{clip.name}"
    assert float(page.one(".score").text) > 0.99
    assert page.one("#example .name").text.strip() == clip.name.strip()
    page.one("#example .play").click()
    page.hear()
    assert page.run("player.currentSrc").startswith("blob:")
    page.driver.refresh()
    assert page.wait(page.names) == names  # the server knows it still
    page.one("#example .drop").click()
    page.wait(lambda: not page.names())


def test_a_recording_is_dropped_on_the_page(page, sounds):
    clip = sorted((sounds / "sub").iterdir())[4]
    page.open()
    page.run(
        """(async ([name, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name));
            for (const type of ['dragover', 'drop']) {
                document.body.dispatchEvent(
                    new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
                if (type === 'dragover') window.shown = !document.getElementById('drop').hidden;
            }
        })(arguments[0])""",
        [clip.name, list(clip.read_bytes())],
    )
    assert page.found()[0] == f"sub/{clip.name}"
    assert page.run("window.shown") is True
    assert not page.one("#drop").is_displayed()


def test_an_unusable_recording_is_refused(page, sounds):
    page.open()
    page.one("#file").send_keys(str(sounds / "broken.flac"))
    assert page.alert().startswith("The clip cannot be read as sound")
    page.one("#query").send_keys("rain", Keys.ENTER)
    assert page.found()
    assert not page.one("#alert").is_displayed()


def test_more_like_a_sound_leaves_it_out(page):
    first = page.results()[0]
    assert first not in page.after(page.one(".hit .like").click)
    assert page.one("#example .name").text == first
    assert len(page.names()) == 15
    page.driver.refresh()
    page.wait(page.names)
    assert page.one("#example .name").text == first


def test_why_a_sound_was_found_is_a_sum(page):
    page.results("q=a+dog")
    page.one(".hit .why").click()
    assert page.one(".hit .why").get_attribute("aria-expanded") == "true"
    parts = [
        float(part.text.replace("−", "-")) for part in page.all(".hit:first-child .sum strong")
    ]
    assert len(parts) in (2, 3)
    assert sum(parts) == pytest.approx(float(page.one(".score").text), abs=0.002)
    assert page.one(".hit .category").text.startswith("UCS category: ")
    assert len(page.all(".hit:first-child .reasons tbody tr")) == 5
    page.row("copy of the first.wav").find_element(By.CSS_SELECTOR, ".copies").click()
    assert page.one(".paths:not([hidden])").text.startswith("sub/")


def test_tags_filter(page):
    everything = page.results()
    chip = page.one(".chip")
    tag = page.run("arguments[0].firstChild.textContent", chip)
    some = page.after(chip.click)
    assert 0 < len(some) < len(everything)
    assert page.one("#filters li span").text == tag
    assert page.run("new URLSearchParams(location.search).get('tag')") == f"{tag} > 0.3"
    assert page.one(".chip[aria-pressed=true]").text.startswith(tag)
    others = page.after(page.one("#filters option[value='< 0.3']").click)
    assert sorted(others + some) == sorted(everything)
    assert page.after(page.one("#filters button").click) == everything
    field = page.one("#tag")
    below = {"xoffset": 0, "yoffset": 60}  # where the list will open, which must not choose
    webdriver.ActionChains(page.driver).move_to_element_with_offset(field, **below).perform()
    field.send_keys("WIND")
    page.wait(lambda: page.all("#tags:not([hidden])"))
    assert field.get_attribute("aria-activedescendant") == "tag-0"
    assert [option.text for option in page.all("#tags li")][:2] == ["Wind", "Wind chime"]
    field.send_keys(Keys.ARROW_DOWN)
    assert field.get_attribute("aria-activedescendant") == "tag-1"
    field.send_keys(Keys.ARROW_UP, Keys.ENTER)
    page.wait(lambda: page.one("#filters li span").text == "Wind")
    assert not page.all("#tags:not([hidden])")


def test_searches_that_find_nothing_or_are_refused_are_reported(page):
    page.open("/?q=a&tag=Accordion+>+1")
    page.wait(lambda: page.one("#status").text == "No sound passes these filters.")
    page.open("/?q=a&tag=Dgo")
    assert "Did you mean 'Dog'?" in page.alert()
    page.one("#filters button").click()
    assert page.found()
    page.open("/?like=1&library=0123")
    assert "The numbers of sounds are of another library." in page.alert()


def test_words_and_fields_find_names(page):
    assert page.results("q=name:copy") == ["copy of the first.wav"]
    assert page.one(".score").text == ""  # nothing is described
    page.open("/?q=copy&by=words")
    assert page.found() == ["copy of the first.wav"]
    assert page.one("#by").get_attribute("value") == "words"
    page.open("/?q=duration:long")
    assert "expected a duration" in page.alert()
    assert page.run("getComputedStyle(document.querySelector('#alert p')).whiteSpace") == "pre-wrap"


def test_the_keyboard_can_do_everything(page):
    names = page.results()

    def focused():
        row = page.run("document.activeElement.closest('.hit')?.querySelector('.name').textContent")
        return row and names.index(row)

    page.press(Keys.ARROW_DOWN)
    assert focused() == 0
    page.press("jj", Keys.ARROW_DOWN, "k")
    assert focused() == 2
    page.press(" ")
    page.hear(0.1)
    page.press(Keys.ESCAPE)
    page.wait(lambda: page.playing() is None)
    page.press("w")
    assert page.all(".hit")[2].find_element(By.CSS_SELECTOR, ".reasons").is_displayed()
    page.press("kkk")
    assert page.run("document.activeElement.id") == "query"
    page.press("jk ")
    assert page.one("#query").get_attribute("value") == "anythingjk "  # typing is typing
    page.press(Keys.ARROW_DOWN, "/")
    assert page.run("getSelection().toString()") == "anythingjk "
    page.press(Keys.ARROW_DOWN)
    assert names[0] not in page.after(lambda: page.press("m"))


def test_a_phone_shows_everything_without_scrolling_sideways(page):
    page.results(size=PHONE)
    page.one(".hit .why").click()
    page.one("#tag").send_keys("wind")
    for _ in range(2):
        assert page.run("document.documentElement.scrollWidth") == PHONE[0]
        wide = "[...document.querySelectorAll('body *')].filter(x => x.checkVisibility() && "
        wide += "x.getBoundingClientRect().right > innerWidth + 1).map(x => x.outerHTML)"
        assert page.run(wide) == []
        page.open("/", size=PHONE)
        page.wait(lambda: page.one("#demo").is_displayed())
    page.results(size=PHONE)
    heights = [control.size["height"] for control in page.all(".hit .play, .strong")]
    assert min(heights) >= 44


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_in_light_and_dark_mode(page, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page.results("q=anything&tag=Speech+<+0.9")
    page.one(".hit .why").click()
    colours = """(() => {
        const paper = (x) => {
            const colour = getComputedStyle(x).backgroundColor;
            return colour === 'rgba(0, 0, 0, 0)' ? paper(x.parentElement) : colour;
        };
        const texts = [...document.querySelectorAll('body *')].filter((x) => x.checkVisibility() &&
            [...x.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
        return texts.map((x) => [x.textContent, getComputedStyle(x).color, paper(x)]);
    })()"""
    page.wait(lambda: page.run("getComputedStyle(results).opacity") == "1")
    seen = page.run(colours)
    assert len(seen) > 100
    low = [(text, ink, paper) for text, ink, paper in seen if contrast(ink, paper) < 4.5]
    assert low == []


def contrast(ink, paper):
    """WCAG 2: from 1 to 21; texts need 4.5."""

    def luminance(colour):
        values = np.array([float(v) for v in colour[colour.index("(") + 1 : -1].split(",")[:3]])
        linear = np.where(values <= 10.3, values / 3295, ((values / 255 + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    light, dark = sorted([luminance(ink), luminance(paper)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_control_has_a_name(page):
    page.results("q=anything&tag=Speech+<+0.9")
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {"button", "link", "slider", "combobox", "searchbox", "textbox", "listbox"}
    used = [node for node in nodes if node.get("role", {}).get("value") in roles]
    assert len(used) > 60
    assert [node for node in used if not node["name"].get("value", "").strip()] == []


def test_two_users_at_once_see_their_own_results(page, driver, address):
    page.results()
    first = driver.current_window_handle
    driver.switch_to.new_window("window")
    try:
        other = Page(driver, address).open("/?q=rain")
        other.found()
        there = other.search("a car horn")
        driver.switch_to.window(first)
        here = page.search("birds at dawn")
        assert page.driver.title == "birds at dawn – Sound search"
        driver.switch_to.window(driver.window_handles[1])
        assert other.names() == there
        assert driver.title == "a car horn – Sound search"
        assert set(here) == set(there)
    finally:
        driver.switch_to.window(driver.window_handles[1])
        driver.close()
        driver.switch_to.window(first)


def test_new_sounds_are_found_without_a_restart(page, sounds):
    names = page.results()
    source = sorted((sounds / "sub").iterdir())[2]
    new = sounds / "a new one.wav"
    samples, rate = soundfile.read(source)
    soundfile.write(new, samples[::-1], rate)
    try:
        assert set(page.after(page.one("#update").click)) - set(names) == {"a new one.wav"}
        message = "17 sounds now: 1 file new or changed, 1 duplicate."
        page.wait(lambda: page.one("#update-state").text == message)
        assert page.one("#library-name").text == "17 sounds in my sounds"
    finally:
        new.unlink()
    page.one("#update").click()
    message = "16 sounds now: 1 file gone, 1 duplicate."
    page.wait(lambda: page.one("#update-state").text == message)
    page.wait(lambda: set(page.names()) == set(names))
    page.one("#update").click()
    page.wait(lambda: page.one("#update-state").text == "Nothing has changed.")


def test_the_same_hits_as_in_the_terminal(address, sounds, trained, capsys):
    text = "a dog barks and it rains"
    with urllib.request.urlopen(
        f"{address}/api/v1/search?top=5&q={text.replace(' ', '+')}"
    ) as answer:
        page = json.load(answer)["hits"]
    index = str(sounds.parent / "index")
    place = ["--audio", str(sounds), "--model", str(trained), "--index", index]
    load_script("07_search").main([*place, "--top", "5", "--json", text])
    terminal = json.loads(capsys.readouterr().out)["hits"]
    assert [hit["paths"] for hit in page] == [hit["paths"] for hit in terminal]
    assert [hit["score"] for hit in page] == pytest.approx([hit["score"] for hit in terminal])


def test_the_example_of_a_program_runs(address):
    text = (PROJECT_ROOT / "scripts/README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(import io\n.*?)```", text, flags=re.DOTALL)
    printed = run_python(program.replace("http://127.0.0.1:8000", address)).stdout
    *hits, shape = printed.splitlines()
    assert len(hits) == 3
    assert re.fullmatch(r"\(\d+, 2\)", shape)


@pytest.mark.parametrize(
    ("asked", "host", "more", "begins"),
    [
        (signal.SIGINT, "127.0.0.1", [], "16 sounds known in "),
        (
            signal.SIGTERM,
            "0.0.0.0",
            ["--no-token"],
            "warning: on 0.0.0.0, everybody who can reach this machine ",
        ),
    ],
)
def test_ctrl_c_stops_the_server_also_while_a_sound_is_being_sent(
    asked, host, more, begins, sounds, trained
):
    with serving(sounds, trained, "--host", host, *more) as (address, process):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}/api/v1/library") as answer:
            token = json.load(answer)["library"]
        open_still = urllib.request.urlopen(f"{address}/api/v1/sounds/2/audio?library={token}")
        assert open_still.read(10)
        process.send_signal(asked)
        printed, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors.startswith(begins)
    assert "16 sounds known in my sounds" in errors
    assert errors.endswith("\nstopped\n")
    assert "Traceback" not in printed + errors


def test_the_link_with_a_token_lets_a_browser_in(driver, sounds, trained, tmp_path):
    file = tmp_path / "token.txt"
    file.write_text("a-token-of-one-test\n")
    with serving(sounds, trained, "--token-file", file) as (link, process):
        address, _, token = link.partition("/?token=")
        assert token == "a-token-of-one-test"
        page = Page(driver, address)
        driver.get(f"{address}/?q=rain")
        assert "A token is needed" in page.alert()
        page.errors()
        with leading_to(link) as start:  # as --open starts a browser
            driver.get(start)
            page.wait(lambda: driver.current_url == f"{address}/")
            page.wait(lambda: page.one("#library-name").text)
        assert page.errors() == [start]
        page.open(f"/?token={token}&q=rain")
        assert urlsplit(driver.current_url).query == "q=rain"
        assert page.run("document.cookie") == ""
        assert set(page.found()) == names_of(sounds)
        page.wait(lambda: page.all(".ink.drawn"))
        page.one(".hit .play").click()
        page.hear()
        assert set(page.results("q=wind")) == names_of(sounds)
        # Under load, a script may set the focus before the browser does.
        assert [error for error in page.errors() if "Autofocus" not in error] == []
        driver.get("about:blank")
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=30)
    assert token not in printed + errors


def test_a_port_in_use_is_an_error_before_anything_is_loaded(address, capsys):
    port = str(urlsplit(address).port)
    message = rf"^cannot listen on port {port} of 127\.0\.0\.1: .*choose another with --port"
    with pytest.raises(InputError, match=message):
        load_script("08_serve").main(["--port", port, "--model", "/nowhere"])
    assert capsys.readouterr() == ("", "")
