"""Headless Chromium, for the tests of pages."""

import contextlib
import shutil

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def chromium(*arguments):
    """Gives a browser, or skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    paths = [path for path in map(shutil.which, _NAMES) if path]
    if not paths:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=paths[0], args=["--no-sandbox", *arguments]
        )
        try:
            yield started
        finally:
            started.close()


def watched(page):
    """Returns the lists of what a page complains of, and what it asks for."""
    complaints, asked = [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            message.type in ("error", "warning")
            and complaints.append(message.text)
        ),
    )
    page.on("request", lambda request: asked.append(request.url))
    return complaints, asked
