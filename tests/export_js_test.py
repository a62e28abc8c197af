"""The offline page in headless Chromium, against the trained model.

Needs the folder that `js_model` describes, named by TFJS_ENV, and
Chromium with playwright; takes minutes.
"""

import gzip
import itertools
import json
import os
import shutil

import exporting
import numpy as np
import pytest

from tfxml import config as config_lib
from tfxml.export.js import js_model, offline_page
from tfxml.export.shared import checked_run, text_files, weight_formats
from tfxml.run import train_and_evaluate

pytestmark = pytest.mark.slow

BACKENDS = ("wasm", "webgl")


@pytest.fixture(scope="module")
def environment():
    try:
        return js_model.check_environment(os.environ.get("TFJS_ENV", ""))
    except ValueError as error:
        pytest.skip(f"set TFJS_ENV: {error}")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    paths = [path for path in map(shutil.which, names) if path]
    if not paths:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=paths[0],
            # WebGL in software, as there is no display.
            args=[
                "--no-sandbox",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--ignore-gpu-blocklist",
            ],
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser, environment, tmp_path):
    """Returns a function that exports a run and opens its page offline."""
    contexts = []

    def open_page(run, backend, weights="float32"):
        folder = tmp_path / weights
        if not folder.is_dir():
            folder.mkdir()
            js_model.write(run, folder, environment, weights=weights)
            offline_page.write(run, folder, environment, "a <name> & more")
        context = browser.new_context()
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.set_default_timeout(120_000)
        page.goto(f"file://{folder / 'index.html'}?backend={backend}")
        page.evaluate("app.ready.then(() => null)")
        assert page.evaluate("tf.getBackend()") == backend
        return page

    yield open_page
    for context in contexts:
        context.close()


def _rank(page, texts, k):
    found = page.evaluate(
        "([texts, k]) => app.ready.then("
        "(ranker) => texts.map((text) => ranker.rank(text, k)))",
        [texts, k],
    )
    return (
        np.array([one["scores"] for one in found]),
        np.array([one["labelIds"] for one in found]),
    )


@pytest.fixture(scope="module")
def real_run(tmp_path_factory):
    """A MACH model of real documents and subjects, trained for a minute."""
    data = exporting.real_data("eurlex57k")
    folder = tmp_path_factory.mktemp("data")
    for split, number in (("trn", 4000), ("dev", 300)):
        with (
            gzip.open(data / f"{split}.json.gz", "rt") as lines,
            gzip.open(folder / f"{split}.json.gz", "wt") as sink,
        ):
            sink.writelines(itertools.islice(lines, number))
    shutil.copy(data / "lbl.json.gz", folder)
    config = config_lib.Config(
        head="mach",
        eval_split="dev",
        min_df=3,
        hidden_units=(64,),
        num_repetitions=4,
        num_epochs=8,
        batch_size=64,
        learning_rate=0.01,
    )
    path = tmp_path_factory.mktemp("runs") / "real"
    metrics = train_and_evaluate.train(config, str(path), str(folder))
    assert metrics["P@1"] > 50  # so that what is compared means something
    return checked_run.read(str(path))


@pytest.fixture(scope="module")
def documents():
    data = exporting.real_data("eurlex57k")
    with gzip.open(data / "dev.json.gz", "rt") as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, 100)]
    return [f"{row['title']} {row['content']}" for row in rows]


@pytest.mark.parametrize("weights", weight_formats.JS)
def test_100_real_documents(weights, opened, real_run, documents):
    wanted = exporting.text_answers(real_run, documents, 5)
    answers = {}
    for backend in BACKENDS:
        page = opened(real_run, backend, weights)
        answers[backend] = _rank(page, documents, 5)
        assert not page.errors
    for scores, labels in answers.values():
        if weights == "float32":
            exporting.same_ranking(scores, labels, *wanted, 1e-4)
            assert (labels == wanted[1]).all(axis=1).mean() == 1
        else:
            atol = {"float16": 0.01, "int8": 0.1}[weights]
            np.testing.assert_allclose(scores, wanted[0], atol=atol)
            assert (labels[:, 0] == wanted[1][:, 0]).mean() > 0.9
    np.testing.assert_allclose(
        answers["wasm"][0], answers["webgl"][0], atol=1e-4
    )


@pytest.mark.parametrize(
    "name",
    [
        "sigmoid_blocks",
        "linear",
        "deep",
        "mach_mean",
        "mach_median",
        "reranked",
    ],
)
def test_heads_and_estimators(name, opened):
    run = exporting.features_run(name)
    ids, values = exporting.rows(run)
    lines = _lines(ids, values)
    wanted = exporting.answers(run, ids, values, 10)
    for backend in BACKENDS:
        page = opened(run, backend)
        exporting.same_ranking(*_rank(page, lines, 10), *wanted, 1e-4)
        # Rows that are ranked together have the answers they have alone.
        together, alone = page.evaluate(
            "(line) => app.ready.then((ranker) => {"
            "const { ids, values } = ranker.row(line);"
            "const rows = values.map((_, row) => values.map("
            "  (value, place) => place === row ? 0 : value));"
            "return [ranker.rankRows(ids, rows, 10),"
            "  rows.map((row) => ranker.rankRow(ids, row, 10))]; })",
            lines[1],
        )
        assert len(together) > 4
        exporting.same_ranking(
            *(
                np.array([one[name] for one in found])
                for found in (together, alone)
                for name in ("scores", "labelIds")
            ),
            1e-5,
        )


def test_no_text_is_answered_with_its_own_label(opened):
    run = exporting.text_run(drop_own_labels=True)
    names = exporting.LABEL_NAMES
    texts = [f"{names[2]} {text}" for text in exporting.texts(5)]
    texts += [f"a {text}" for text in texts]
    number = len(names)
    scores, ids = exporting.text_answers(run, texts, number)
    page = opened(run, "cpu")
    for k in (3, number):
        found_scores, found_ids = _rank(page, texts[:5], k)
        kept = ids[:5] != 2
        assert (found_ids != 2).all()
        exporting.same_ranking(
            found_scores,
            found_ids,
            scores[:5][kept].reshape(5, -1)[:, :k],
            ids[:5][kept].reshape(5, -1)[:, :k],
            1e-4,
        )
    exporting.same_ranking(
        *_rank(page, texts[5:], number), scores[5:], ids[5:], 1e-4
    )
    assert not page.errors


def _lines(ids, values):
    """Returns padded rows as a person types them."""
    return [
        " ".join(
            f"{feature}:{value}"
            for feature, value in zip(*row, strict=True)
            if value
        )
        for row in zip(ids.tolist(), values.tolist(), strict=True)
    ]


@pytest.mark.parametrize("name", ["sigmoid", "mach_mean", "reranked"])
def test_answers_by_threshold_are_those_of_predict(name, opened):
    run = exporting.answering_run(name)
    ids, values = exporting.distinct(*exporting.rows(run))
    lines = _lines(ids, values)
    wanted = exporting.predicted(run, ids, values, "threshold")
    ranked = exporting.predicted(run, ids, values, "top_k")
    assert [] in wanted and [] in ranked and max(map(len, wanted)) > 5
    for backend in BACKENDS:
        page = opened(run, backend)
        found = page.evaluate(
            "(lines) => app.ready.then("
            "(ranker) => lines.map((line) => ranker.rank(line, 50)))",
            lines,
        )
        assert exporting.answered(_columns(found)) == wanted
    for line, by_threshold, by_rank in zip(lines, wanted, ranked, strict=True):
        if not line:
            continue
        for answer, is_checked in ((by_threshold, True), (by_rank, False)):
            page.set_checked("#by-threshold", is_checked)
            page.evaluate("document.querySelector('#status').textContent = ''")
            page.fill("#input", line)
            page.wait_for_function(
                "document.querySelector('#status').textContent"
            )
            names = page.locator("#labels .name").all_text_contents()
            assert names == [run.label_names[label] for label in answer]
            status = page.locator("#status").text_content()
            assert status.startswith("none of the labels") == (not answer)
    assert not page.errors


def _columns(found):
    """Returns answers to rows as an export's outputs, by name."""
    names = {"label_ids": "labelIds", "is_answered": "isAnswered"}
    return {to: [one[of] for one in found] for to, of in names.items()}


def test_int8_leaves_what_is_looked_up_alone(opened):
    run = exporting.features_run("reranked")
    ids, values = exporting.rows(run)
    lines = _lines(ids, values)
    wanted = exporting.answers(run, ids, values, exporting.NUM_LABELS)
    page = opened(run, "wasm", "int8")
    scores, labels = _rank(page, lines, exporting.NUM_LABELS)
    by_label = [
        np.take_along_axis(scores, np.argsort(labels, axis=1), axis=1)
        for scores, labels in ((scores, labels), wanted)
    ]
    np.testing.assert_allclose(*by_label, atol=0.1)


@pytest.mark.parametrize("words", [{}, {"hash_buckets": 97}])
def test_what_a_person_sees(words, opened):
    run = exporting.text_run("mach", **words)
    page = opened(run, "wasm")
    assert page.title() == "a <name> & more"
    assert page.locator("#count").text_content() == "5"
    assert page.locator("#labels li").count() == 0  # nothing is typed yet
    page.fill("#input", "Trawler & HERRING, ἰχθύς: fishing quotas")
    page.wait_for_function("document.querySelectorAll('#labels li').length")
    wanted = exporting.text_answers(
        run, ["Trawler & HERRING, ἰχθύς: fishing quotas"], 5
    )
    names = page.locator("#labels .name").all_text_contents()
    assert names == [run.label_names[i] for i in wanted[1][0]]
    scores = page.locator("#labels .score").all_text_contents()
    assert scores == [f"{score:.3f}" for score in wanted[0][0]]
    assert "terms" in page.locator("#status").text_content()
    page.select_option("#backend", "webgl")
    page.wait_for_function("tf.getBackend() === 'webgl'")
    page.wait_for_function(
        "document.querySelector('#status').textContent.includes('webgl')"
    )
    assert page.locator("#labels .name").all_text_contents() == names
    page.fill("#input", "")
    page.wait_for_function("!document.querySelectorAll('#labels li').length")
    assert not page.errors


@pytest.mark.parametrize("name", ["sigmoid", "mach"])
def test_what_spoke_for_a_label(name, opened):
    """By how much its logit falls where a term is left out."""
    run = exporting.text_run(name)
    page = opened(run, "wasm")
    text = "Trawler HERRING fishing quotas of the judge"
    row, labels, told = page.evaluate(
        "(text) => app.ready.then((ranker) => {"
        "const labels = ranker.rank(text, 3).labelIds;"
        "return [ranker.row(text), labels, ranker.why(text, labels)]; })",
        text,
    )

    def logits(values):
        scores, ids = exporting.answers(
            run, np.array([row["ids"]]), np.array([values]), 5
        )
        by_label = np.asarray(scores)[0][np.argsort(np.asarray(ids)[0])]
        return np.log(by_label) - np.log1p(-by_label)

    whole = logits(row["values"])
    falls = []
    for place in range(len(row["ids"])):
        values = [*row["values"]]
        values[place] = 0.0
        falls.append(whole - logits(values))
    for label, features in zip(labels, told, strict=True):
        of_label = [fall[label] for fall in falls]
        order = np.argsort(-np.abs(of_label), kind="stable")[: len(features)]
        np.testing.assert_allclose(
            [one["share"] for one in features],
            [of_label[i] for i in order],
            atol=2e-3,
        )
    words = set(text.lower().split())  # names are runs of words
    assert all(set(one["name"].split()) <= words for one in told[0])
    page.fill("#input", text)
    page.check("#explain")
    page.wait_for_selector("#labels .why span")
    shown = page.locator("#labels li").first.locator(".why span")
    assert shown.count() == len(told[0])
    assert shown.first.text_content().startswith(told[0][0]["name"])
    assert not page.errors


@pytest.mark.parametrize("form", ["none", "NFKC"])
def test_rows_in_the_browser_are_the_shared_vectors(form, opened):
    run = exporting.text_run("sigmoid", unicode_normalization=form)
    texts = exporting.texts(60) + list(text_files.TEXTS)
    vectors = text_files.test_vectors(run.text_features, texts)
    found = opened(run, "wasm").evaluate(
        "(texts) => app.ready.then("
        "(ranker) => texts.map((text) => ranker.row(text)))",
        texts,
    )
    for one, vector in zip(found, vectors, strict=True):
        assert one["ids"] == vector["feature_ids"]
        np.testing.assert_allclose(
            one["values"], vector["feature_values"], rtol=1e-5
        )


def test_a_converter_that_fails_says_why(environment, tmp_path):
    run = exporting.features_run("sigmoid")
    broken = tmp_path / "converter"
    broken.write_text("#!/bin/sh\necho no such op >&2\nexit 3\n")
    broken.chmod(0o755)
    unfit = js_model.Environment(
        broken, *(environment.__dict__[f] for f in _FILES)
    )
    with pytest.raises(ValueError, match="no such op"):
        js_model.write(run, tmp_path, unfit)


_FILES = ("tensorflow_js", "wasm_js", "wasm", "wasm_simd")
