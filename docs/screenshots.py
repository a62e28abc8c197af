"""Takes the pictures of pages for the documentation, in headless Chromium.

    python docs/screenshots.py --workdir=runs/a --compare=runs/b --text='...' \\
        --page=exported/index.html

needs `pip install ".[serve,report,browser]"` and Chromium, and writes
docs/images/{serve,report}-{light,dark}.png; leaderboard.png, of the folder that
both runs are in; and browser-page.png, of a page that `--format=tfjs` exported.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

from playwright import sync_api

FOLDER = pathlib.Path(__file__).parent / "images"
SCHEMES = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1000


def serve_pages(browser: sync_api.Browser, workdir: str, text: str) -> None:
    """Takes the page of `tfxml.serve` after `text` was typed."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tfxml.serve", "--port=0"),
            f"--workdir={workdir}",
            f"--name={pathlib.Path(workdir).name}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stdout or [])
        (line,) = [next(one for one in lines if one.startswith("serves"))]
        for scheme in SCHEMES:
            page = browser.new_page(
                color_scheme=scheme, viewport={"width": WIDTH, "height": 800}
            )
            page.goto(line.split()[1])
            page.check("#explain")
            page.fill("#k", "5")
            page.fill("#input", text)
            page.wait_for_selector(".why span")
            page.screenshot(path=FOLDER / f"serve-{scheme}.png")
    finally:
        process.terminate()
        process.wait()


def report_pages(
    browser: sync_api.Browser, workdir: str, compare: str, split: str
) -> None:
    """Takes the head of a report in light colours, and examples in dark."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.html"
        board = pathlib.Path(folder) / "leaderboard.html"
        command = [sys.executable, "-m", "tfxml.report"]
        for words in (
            [
                f"--workdir={workdir}",
                f"--compare={compare}",
                f"--split={split}",
                report,
            ],
            [f"--runs={pathlib.Path(workdir).parent}", board],
        ):
            *flags, output = words
            subprocess.run([*command, *flags, f"--output={output}"], check=True)
        for path, scheme, anchor, size, name in (
            (report, "light", "", (WIDTH, 1250), "report-light.png"),
            (report, "dark", "#examples", (WIDTH, 900), "report-dark.png"),
            (board, "light", "", (1500, 430), "leaderboard.png"),
        ):
            width, height = size
            page = browser.new_page(
                color_scheme=scheme,
                viewport={"width": width, "height": height},
            )
            page.goto(f"{path.as_uri()}{anchor}")
            page.screenshot(path=FOLDER / name)


def exported_page(
    browser: sync_api.Browser, path: pathlib.Path, text: str
) -> None:
    """Takes the page of an export, with what spoke for each label."""
    page = browser.new_page(
        color_scheme="light", viewport={"width": WIDTH, "height": 900}
    )
    page.goto(f"{path.absolute().as_uri()}?backend=wasm")
    page.evaluate("app.ready.then(() => null)")
    page.check("#by-threshold")
    page.check("#explain")
    page.fill("#input", text)
    page.wait_for_selector("#labels .why span")
    page.screenshot(path=FOLDER / "browser-page.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--compare", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--split", default="")
    parser.add_argument("--page", required=True, type=pathlib.Path)
    words = parser.parse_args()
    paths = [path for path in map(shutil.which, BROWSERS) if path]
    if not paths:
        raise SystemExit("needs Chromium, such as `apt install chromium`")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=paths[0], args=["--no-sandbox"]
        )
        serve_pages(browser, words.workdir, words.text)
        report_pages(browser, words.workdir, words.compare, words.split)
        exported_page(browser, words.page, words.text)
        browser.close()


if __name__ == "__main__":
    main()
