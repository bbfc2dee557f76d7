"""Debian's Chromium, for whoever looks at pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

#: A busy machine needs this long for the slowest thing that is waited for: a kernel, its first picture.
PATIENCE_MILLISECONDS = 60_000

#: No sandbox: the tests may run as root. The rest keeps Chromium from calling home.
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]


# Not for the whole session: while it lives, Playwright holds the event loop that asynchronous tests need.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Debian's Chromium is not installed, and only root can install it: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    yield page
    # What was on the screen is the first thing one wants to see of a failed test.
    page.screenshot(path=tmp_path / "last.png")
    context.close()
