"""The documentation: it builds, its links lead somewhere, its code runs."""

import html.parser
import json
import os
import re
import runpy
import subprocess
import sys
import urllib.parse

import documents
import pytest

ROOT = documents.ROOT
PAGES = documents.pages()
RUN = [
    page
    for page in PAGES
    if any(block.is_run for block in documents.blocks(page.read_text()))
]
FLAGS_PAGE = runpy.run_path(str(ROOT / "docs" / "flags_page.py"))
FOLDERS = ("tfxml", "strategies", "tests", "configs", "benchmarks", "docs")
# Of absl itself, and of pytest, pip, docker and tfds.
OTHER_FLAGS = {"help", "helpfull", "flagfile", "verbosity", "no-deps"}
# The last are scripts that a reader writes.
OTHER_PROGRAMS = (
    *("pytest", "build", "venv"),
    *("own_workers.py", "own_servers.py"),
)


def _ids(page):
    return documents.name_of(page)


# --- the site -----------------------------------------------------------


class _Html(html.parser.HTMLParser):
    """The ids of a page, its links, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        if tag in ("img", "script") and "src" in found:
            self.loaded.add(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon"):
            self.loaded.add(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Returns the built pages by their path; strict: a warning is an error."""
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    from mkdocs.commands import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(
        str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True
    )
    build.build(config)
    found = {
        path.resolve(): _Html(path.read_text())
        for path in folder.rglob("*.html")
    }
    assert len(found) > 20
    return found


def test_links_and_anchors_of_the_site(site):
    broken = []
    for path, page in site.items():
        if path.name == "404.html":
            continue  # its links start at the root of wherever it is served
        for link in page.links | page.loaded:
            target = urllib.parse.urlsplit(link)
            if target.scheme:
                continue
            other = path
            if target.path:
                other = (path.parent / target.path).resolve()
            if other.is_dir():
                other /= "index.html"
            anchor = urllib.parse.unquote(target.fragment)
            if not other.is_file() or (
                anchor and anchor not in site[other].ids
            ):
                broken.append(f"{path}: {link}")
    assert not broken


def test_the_site_loads_nothing_from_elsewhere(site):
    for path, page in site.items():
        outside = {x for x in page.loaded if urllib.parse.urlsplit(x).netloc}
        assert not outside, path


# --- code ---------------------------------------------------------------


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """Returns what each page's blocks raised, all run in one process."""
    result = tmp_path_factory.mktemp("blocks") / "errors.json"
    done = subprocess.run(
        [sys.executable, documents.__file__, result, *RUN],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(result.read_text())


@pytest.mark.parametrize("page", RUN, ids=_ids)
def test_python_blocks_run(page, errors):
    assert errors[str(page)] is None, errors[str(page)]


# --- commands -----------------------------------------------------------


def _is_command(path):
    return re.search(r"^def run\(\)", path.read_text(), flags=re.M)


@pytest.fixture(scope="module")
def flags_of():
    """Returns the flags of every command by the name of its module."""
    paths = sorted((ROOT / "tfxml").glob("[a-z]*.py"))
    names = [f"tfxml.{path.stem}" for path in paths if _is_command(path)]
    names.append("tfxml.export")
    assert set(names) == set(FLAGS_PAGE["COMMANDS"])
    found = {name: FLAGS_PAGE["defined"](name) for name in names}
    for name in ("launch", "resolvers", "tpu"):
        shown = subprocess.run(
            [sys.executable, "-m", f"strategies.{name}", "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        words = re.findall(r"--(\w+)", shown.stdout)
        found[f"strategies.{name}"] = dict.fromkeys(words)
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        words = re.findall(r'DEFINE_\w+\(\s*"(\w+)"', path.read_text())
        found[f"benchmarks/{path.name}"] = dict.fromkeys(words)
    fuzzer = "tests/fuzz/fuzz.py"
    words = re.findall(
        r'add_argument\(\s*"--(\w+)"', (ROOT / fuzzer).read_text()
    )
    found[fuzzer] = dict.fromkeys(words)
    return found


def test_the_pictures_are_what_their_script_draws():
    """If not: `python docs/diagrams.py`."""
    drawn = runpy.run_path(str(ROOT / "docs" / "diagrams.py"))
    for name, draw in drawn["PICTURES"].items():
        assert (drawn["FOLDER"] / name).read_text() == draw(), name


def test_the_page_of_all_flags_is_current():
    """If not: `python docs/flags_page.py`."""
    assert FLAGS_PAGE["PAGE"].read_text() == FLAGS_PAGE["text"]()


def _wrong_flags(words, known):
    """Returns the words that are no flag, or have a value that it refuses."""
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name in ("", *OTHER_FLAGS):
            continue
        if name not in known and name.removeprefix("no") not in known:
            yield word
        elif equals and not re.search(r"[<$|…]|^\.+$|^[A-Z]$", value):
            if (flag := known[name]) is None:
                continue  # of a command that is not ours to ask
            try:
                flag.parser.parse(value)
            except ValueError:
                yield word


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_commands_exist_and_have_their_flags(page, flags_of):
    for command in documents.commands(page.read_text()):
        if command.program in (*OTHER_PROGRAMS, "..."):
            continue
        assert command.program in flags_of, command
        wrong = list(_wrong_flags(command.words, flags_of[command.program]))
        assert not wrong, command


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_flags_in_the_text_exist(page, flags_of):
    for span in documents.code_spans(page.read_text()):
        for word in span.split() if span.startswith("--") else ():
            assert any(
                not list(_wrong_flags([word], known))
                for known in flags_of.values()
            ), span


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_paths_in_the_text_exist(page):
    text = page.read_text()
    shell = [b.text for b in documents.blocks(text) if b.language == "sh"]
    words = " ".join([*shell, *documents.code_spans(text)]).split()
    for word in words:
        path = word.removeprefix("--flagfile=").partition("::")[0]
        if path.partition("/")[0] in FOLDERS and "/" in path:
            assert list(ROOT.glob(path)), word


def test_blocks_say_their_language():
    known = {"sh", "python", "text", "json", "yaml"}
    for page in PAGES:
        for block in documents.blocks(page.read_text()):
            assert block.language in known, (page, block.line)


def test_every_feature_of_ours_is_linked_to_a_command():
    text = (ROOT / "docs" / "feature-table.md").read_text()
    commands = {
        title.lower().replace(" ", "-"): body
        for title, body in re.findall(
            r"^### ([^\n]+)\n\n```sh\n(.+?)```", text, re.M | re.S
        )
    }
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    header = next(row for row in rows if "tfxml" in row)
    features = [row for row in rows if len(row) == len(header)]
    for name, ours, *_ in features:
        if name in ("", "---", "licence"):
            continue
        targets = re.findall(r"\]\(#([^)]+)\)", ours)
        assert targets, name
        for target in targets:
            assert "python -m " in commands[target], name
    assert len(features) > 15


def test_what_was_mended_has_its_test():
    walk = runpy.run_path(str(ROOT / "docs" / "first_result.py"))
    for _, _, test in walk["STUMBLES"]:
        path, name = test.split("::")
        assert f"\ndef {name}(" in (ROOT / "tests" / path).read_text(), test
    page = (ROOT / "docs" / "first-result.md").read_text()
    assert walk["stumbles"]() in page
