"""A headless browser, and what a user does in it."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=document-user-activation-required",
]
DESKTOP, PHONE = (1280, 900), (390, 844)


@contextmanager
def chromium(profile, size):
    if not (CHROMIUM.exists() and CHROMEDRIVER.exists()):
        pytest.skip(f"{CHROMIUM} or {CHROMEDRIVER} is missing")
    wanted = webdriver.ChromeOptions()
    wanted.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
        wanted.add_argument(flag)
    wanted.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=wanted, service=Service(str(CHROMEDRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """What a user does with the page and sees of it."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address
        self.refused = False

    def open(self, path="/", size=DESKTOP):
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(f"{self.address}{path}")
        self.wait(lambda: self.one("#library-name").text)
        return self

    def results(self, search="q=anything", **options):
        """Open the page of a search; returns the names it found."""
        return self.open(f"/?{search}", **options).found()

    def wait(self, condition, seconds=30):
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: condition())

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(f"return {script}", *arguments)

    def press(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def search(self, text):
        self.one("#query").clear()
        return self.after(lambda: self.one("#query").send_keys(text, Keys.ENTER))

    def after(self, action):
        """Do something that brings new results; returns their names."""
        self.run("window.old = document.querySelector('.hit')")
        action()
        return self.found()

    def found(self):
        """Wait for new results."""
        self.wait(
            lambda: self.run(
                "document.querySelector('.hit') !== (window.old ?? null) && "
                "!document.querySelector('#results').hasAttribute('aria-busy')"
            )
        )
        return self.names()

    def alert(self):
        """Wait for a message that something was refused, and return it."""
        self.refused = True
        self.wait(lambda: self.one("#alert").is_displayed())
        return self.one("#alert").text

    def names(self):
        return self.run("[...document.querySelectorAll('.hit .name')].map(x => x.textContent)")

    def row(self, name):
        return self.all(".hit")[self.names().index(name)]

    def playing(self):
        return self.run("player.paused ? null : player.currentTime")

    def hear(self, seconds=0.2):
        """Wait until a sound has been played for some time."""
        self.wait(lambda: (self.playing() or 0) > seconds)

    def errors(self):
        """The errors in the console, and the requests to other hosts."""
        lines = [entry["message"] for entry in self.driver.get_log("browser")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith((self.address, "blob:", "data:")):
                    lines.append(url)
        return lines
