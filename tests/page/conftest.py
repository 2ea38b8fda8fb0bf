"""The page in a real browser: headless Chromium, driven through selenium. `make chromium` installs it on Debian.

The runs are synthetic, with records of every kind: a small one for most tests, one of more than 3,000 for the limits.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from harness.report import write_report
from tests import synthetic
from tests.page.driving import BACKENDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
)  # fmt: skip


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    folder = synthetic.write(tmp_path_factory.mktemp("page") / "run", synthetic.records(BACKENDS, traits=12))
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def large(tmp_path_factory) -> Path:
    folder = synthetic.write(tmp_path_factory.mktemp("page") / "large", synthetic.records())
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def browser():
    if not (CHROMIUM and DRIVER):
        pytest.skip("Chromium and ChromeDriver are not installed: `make chromium` (Debian)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="roundtrip-chromium-") as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1300,900"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        driver.set_script_timeout(120)
        yield driver
        driver.quit()


@pytest.fixture
def page(browser, run):
    """Opens the page anew, with something after the #; afterwards the console must have been silent."""

    def open_(address: str = ""):
        browser.get("about:blank")
        browser.get((run / "index.html").as_uri() + address)
        assert browser.execute_script("return document.documentElement.dataset.ready") == "true"
        return browser

    browser.get_log("browser")
    browser.get_log("performance")
    yield open_
    assert [entry["message"] for entry in browser.get_log("browser")] == []
