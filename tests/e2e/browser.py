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


def painted(browser: webdriver.Chrome, colour: str) -> tuple[int, int, int]:
    """Return what a CSS colour, in whatever notation, looks like: red, green and blue, 0 to 255."""
    script = """
        const pixel = document.createElement('canvas').getContext('2d');
        pixel.fillStyle = arguments[0];
        pixel.fillRect(0, 0, 1, 1);
        return Array.from(pixel.getImageData(0, 0, 1, 1).data);
    """
    red, green, blue, _ = browser.execute_script(script, colour)
    return red, green, blue
