"""Reports: what they say is what was measured, and a browser shows it."""

import dataclasses
import html.parser
import json
import re

import browsers
import exporting
import numpy as np
import pytest
import runs

from tfxml import config as config_lib
from tfxml import evaluate, rerank
from tfxml.evaluation import label_sets
from tfxml.run import scored_rows, set_choices, train_and_evaluate

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from tfxml import report  # noqa: E402  needs matplotlib
from tfxml.reporting import (  # noqa: E402
    examples,
    figures,
    leaderboard,
)

CONFIG = config_lib.Config(
    min_df=1,
    eval_split="dev",
    hidden_units=(),
    num_epochs=3,
    batch_size=32,
    learning_rate=0.02,
)


class _Page(html.parser.HTMLParser):
    """The text, the tables and what a page would load."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.loaded, self.tags = [], [], []
        self._cells = None
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.loaded += [
            value
            for name in ("src", "href", "xlink:href", "srcset", "data")
            if (value := found.get(name)) and value[0] != "#"
        ]
        if tag == "tr":
            self._cells = []
            self.rows.append(self._cells)
        elif tag in ("td", "th") and self._cells is not None:
            self._cells.append("")

    def handle_endtag(self, tag):
        if tag in ("tr", "table"):
            self._cells = None

    def handle_data(self, data):
        self.text += data
        if self._cells:
            self._cells[-1] = (self._cells[-1] + data).strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two runs of one data set, and of one of another."""
    base = tmp_path_factory.mktemp("report")
    data = exporting.write_texts(base / "data")
    train_and_evaluate.train(CONFIG, str(base / "runs" / "first"), str(data))
    other = CONFIG.replace(num_epochs=1, learning_rate=1e-5)
    train_and_evaluate.train(other, str(base / "runs" / "<second>"), str(data))
    return base / "runs"


@pytest.fixture(scope="module")
def page(folder):
    path = report.write(str(folder / "first"), str(folder / "<second>"))
    assert path == folder / "first" / "report.html"
    return path


@pytest.mark.slow
def test_the_metrics_are_those_of_evaluate(folder, page):
    rows = {row[0]: row for row in _Page(page.read_text()).rows if row}
    found = [
        evaluate.evaluate(str(folder / name)).result()
        for name in ("first", "<second>")
    ]
    for key in ("P@1", "P@3", "P@5", "nDCG@3", "nDCG@5", "PSP@1", "PSP@5"):
        cells = rows[key]
        assert [cells[1], cells[3]] == [f"{one[key]:.2f}" for one in found]
        low, high = map(float, cells[2].split(" to "))
        assert low <= found[0][key] + 0.01 and found[0][key] - 0.01 <= high
        assert cells[5] == f"{found[0][key] - found[1][key]:+.2f}"
    deciles = evaluate.evaluate(str(folder / "first")).result_by_decile()
    for number, decile in enumerate(deciles, 1):
        row = rows[str(number)]
        assert row[2] == f"{decile['share']:.1f}"
        assert row[-1] == f"{decile['MicroRecall@5']:.1f}"


@pytest.mark.slow
def test_labels_one_by_one_are_those_of_evaluate(folder, page):
    choice = set_choices.SetChoice("threshold")
    found = evaluate.evaluate_sets(str(folder / "first"), choice)
    rows = {row[0]: row for row in _Page(page.read_text()).rows if row}
    for key, value in found.result().items():
        assert rows[key][1] == f"{value:.2f}"
    by_label = found.by_label()
    for label, name in enumerate(exporting.LABEL_NAMES):
        row = rows[name]
        assert row[2:4] == [
            str(by_label[key][label]) for key in ("support", "predicted")
        ]
        assert row[4:] == [
            f"{by_label[key][label]:.1f}"
            for key in ("precision", "recall", "f1")
        ]


@pytest.mark.slow
def test_the_page_is_whole_and_escapes_names(page):
    text = page.read_text()
    found = _Page(text)
    assert set(found.loaded) == {"data:,"}
    assert "script" not in found.tags and "b" in found.tags
    # A label, whose name ends a script tag, and the folder of a run.
    assert "fish & </script><b>" in found.text
    assert "fish &amp; &lt;/script&gt;&lt;b&gt;" in text
    assert "<second>" in found.text and "<second>" not in text
    assert "default-src 'none'" in text
    for curve in ("loss", "P@1", "nDCG@5", "PSP@5"):
        assert f"{curve} by epoch" in found.text
    for words in ("num_epochs: 3 and 1", "200", "✓", "instances a second"):
        assert words in found.text, words


@pytest.mark.slow
def test_what_spoke_for_a_label_is_shown(page):
    """The texts are of their topics' words, so these spoke for them."""
    text = _Page(page.read_text()).text
    well = text[text.index("Where it went well") :]
    topics = " ".join(exporting.TOPICS).lower()
    told = re.findall(r"(\S+)\s+\+\d\.\d\d", well)
    assert told and all(word in topics for word in told)


def test_examples_are_the_best_and_the_worst():
    answers = scored_rows.ScoredRows(
        label_sets.Candidates(
            np.array([[0.9, 0.8], [0.7, 0.6], [0.99, 0.1], [0.8, 0.5], [1, 1]]),
            np.array([[0, 1], [0, 1], [2, 3], [1, 0], [0, 1]]),
        ),
        label_sets.LabelSets(
            np.array([0, 1, 3, 4, 5, 5]), np.array([0, 0, 1, 1, 0])
        ),
        None,
        None,
    )
    good, bad = examples.choose(answers, 2)
    assert good.tolist() == [1, 0]  # both labels; then the first alone
    assert bad.tolist() == [2, 3]  # surer of what is wrong; 4 has no labels


@pytest.mark.slow
def test_a_run_that_a_reranker_was_added_to(folder, tmp_path):
    """It has no epochs of its own, so neither curves nor costs of training."""
    rerank.rerank(
        str(folder / "first"),
        str(tmp_path / "reranked"),
        {"reranker_passes": 1},
    )
    path = report.write(str(tmp_path / "reranked"), str(folder / "first"))
    text = _Page(path.read_text()).text
    assert "against" in text and "peak memory of training" in text


@pytest.mark.slow
def test_the_leaderboard_is_in_order(folder, tmp_path):
    source = json.loads((folder / "first" / "result.json").read_text())
    page = report.write_leaderboard(str(folder), str(tmp_path / "board.html"))
    found = _Page(page.read_text())
    header, *rows = [row for row in found.rows if len(row) > 3]
    assert [row[0] for row in rows] == ["first", "<second>"]
    assert rows[0][1] == f"{source['P@1']:.2f}"
    places = [header.index(n) for n in ("learning_rate", "num_epochs")]
    assert [rows[0][i] for i in places] == ["0.02", "3"]
    assert [rows[1][i] for i in places] == ["1e-05", "1"]
    assert set(found.loaded) == {"data:,"}


@pytest.mark.slow
def test_the_leaderboard_names_what_is_unfinished_or_broken(folder, tmp_path):
    import shutil

    copy = tmp_path / "runs"
    shutil.copytree(folder, copy)
    (copy / "first" / "result.json").unlink()
    (copy / "<second>" / "config.json").write_text("{}")
    entries, broken = leaderboard.read(copy)
    (entry,) = entries
    assert not entry.is_finished and entry.metrics["P@1"] > 0
    assert broken[0].startswith("<second>: ")
    page = leaderboard.render(copy)
    assert "not finished" in page and "&lt;second&gt;: " in page
    with pytest.raises(ValueError, match="`runs` must be a folder with run"):
        leaderboard.read(tmp_path / "none")


def test_figures_take_the_colours_of_the_page():
    curve = figures.Curve("_a <b> $x & é", [1, 2, 3], [3.0, 1.0, 2.0])
    other = dataclasses.replace(curve, series=1, is_dashed=True)
    drawn = [
        figures.curves([curve, other], "x <i>", "y"),
        figures.curves([curve], "x", "y", is_log=True),
        figures.bars(["1", "2"], [[1, 2], [3, 4]], ["a", "b"], "x", "y"),
        figures.reliability([{"score": 0.2, "share": 0.3, "number": 1}], 1.0),
    ]
    for svg in drawn:
        found = _Page(svg)
        assert "#0102" not in svg and "var(--bar)" in svg
        assert not {"b", "i", "script"} & set(found.tags)
        assert not found.loaded
    assert "a &lt;b&gt; $x &amp; é" in drawn[0]
    again = figures.curves([curve, other], "x <i>", "y")
    assert again == drawn[0]


@pytest.mark.slow
def test_the_command(folder, tmp_path):
    words = runs.command("tfxml.report", f"--runs={folder}")
    out = tmp_path / "board.html"
    assert f"report    {out}" in runs.run([*words, f"--output={out}"])
    done = runs.finished([*words, f"--workdir={folder / 'first'}"])
    assert done.returncode == 1 and "one of --workdir and" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it(scheme, page, folder, tmp_path):
    board = report.write_leaderboard(str(folder), str(tmp_path / "b.html"))
    with browsers.chromium() as browser:
        tab = browser.new_page(color_scheme=scheme)
        complaints, asked = browsers.watched(tab)
        tab.goto(f"file://{page}")
        rows = tab.locator("#metrics ~ .wide tr").all_text_contents()
        assert sum("P@1" in row for row in rows) >= 1
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        is_light = ground == "rgb(255, 255, 255)"
        assert is_light == (scheme == "light")
        ink = tab.evaluate(
            "getComputedStyle(document.querySelector('svg text')).fill"
        )
        dark_ink = max(map(int, re.findall(r"\d+", ink)[:3])) < 140
        assert dark_ink == is_light
        wide = "document.documentElement.scrollWidth"
        for width in (1200, 360):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate(wide) <= width
        tab.goto(f"file://{board}")
        assert tab.locator("td.best").count() > 3
    assert not complaints
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
