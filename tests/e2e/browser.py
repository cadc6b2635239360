"""A headless Chromium, as Debian packages it, and pictures of what it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    with TemporaryDirectory(prefix="dairflow-browser-") as profile:
        options = Options()
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.binary_location = "/usr/bin/chromium"
        browser = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
        try:
            yield browser
        finally:
            browser.quit()


def picture(browser: webdriver.Chrome, name: str) -> Path:
    """Keep what the browser shows in ``.dairflow/screenshots``."""
    folder = Path(__file__).parents[2] / ".dairflow" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    browser.save_screenshot(str(file))
    return file
