"""The diagnosis names the planted cause, and none where there is none."""

import json

import numpy as np
import pytest
import runs

from tfxml import config as config_lib
from tfxml import diagnose
from tfxml.data.synthetic import planted_sets
from tfxml.evaluation import dependence, label_sets
from tfxml.run import diagnosis_plots, train_and_evaluate


def _rows(seed, strength, number=600, num_labels=8):
    """Returns candidates with true probabilities, and labels drawn of them.

    With `strength` labels are on where one uniform of the row is low.
    """
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 2, (number, num_labels))
    u = rng.random(p.shape)
    shared = rng.random((number, 1)) < strength
    is_on = np.where(shared, u[:, :1], u) < p
    order = np.argsort(-p, axis=1)
    rows, labels = np.nonzero(is_on)
    splits = label_sets.splits_of(np.bincount(rows, minlength=number))
    return (
        label_sets.Candidates(np.take_along_axis(p, order, 1), order),
        label_sets.LabelSets(splits, labels),
    )


def test_false_alarms_are_as_frequent_as_the_level():
    """At 10 %: of 120 tests 12 are expected, and 99.9 % have 3 to 23."""
    p_values = np.array(
        [
            dependence.test(*_rows(seed, 0.0), num_permutations=19).p_value
            for seed in range(120)
        ]
    )
    assert 3 <= (p_values <= 0.1).sum() <= 23


def test_dependence_is_found_with_its_pairs():
    candidates, truth = _rows(0, 0.0)
    # Labels 2 and 5 become one.
    keys = {(i, j) for i, j in zip(truth.rows(), truth.ids, strict=True)}
    rows = np.arange(len(truth))
    keys = {one for one in keys if one[1] != 5}
    keys |= {(i, 5) for i in rows if (i, 2) in keys}
    ordered = sorted(keys)
    truth = label_sets.LabelSets(
        label_sets.splits_of(
            np.bincount([i for i, _ in ordered], minlength=len(rows))
        ),
        np.array([j for _, j in ordered]),
    )
    found = dependence.test(candidates, truth)
    assert found.p_value == 0.01
    assert (found.pairs[0].first, found.pairs[0].second) == (2, 5)
    assert found.pairs[0].observed > found.pairs[0].expected + 30
    assert found.excess > 1


def test_a_weak_dependence_of_all_is_found():
    assert dependence.test(*_rows(1, 0.3)).p_value == 0.01


# --- planted causes -----------------------------------------------------------


def _write(folder, rows, split):
    """Writes rows in the format of the Extreme Classification Repository."""
    number, num_features = rows.features.shape
    lines = [f"{number} {num_features} {rows.labels.shape[1]}"]
    for x, y in zip(rows.features, rows.labels, strict=True):
        x.sort_indices()
        features = zip(x.indices, x.data, strict=True)
        lines.append(
            ",".join(map(str, np.sort(y.indices)))
            + " "
            + " ".join(f"{i}:{value:g}" for i, value in features)
        )
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


def _trained(path, is_dependent=False, number=12_000, **words):
    model = planted_sets.PlantedSets(is_dependent=is_dependent)
    _write(path / "data", model.rows(number, seed=0), "train")
    _write(path / "data", model.rows(500, seed=1), "test")
    config = config_lib.Config(
        **{
            "validation_fraction": 0.3,
            "hidden_units": (64,),
            "num_epochs": 8,
            "eval_epochs": 8,
            "dropout": 0.2,
            "decay": "cosine",
            **words,
        }
    )
    train_and_evaluate.train(config, str(path / "run"), str(path / "data"))
    return path / "run"


def _causes(findings):
    return [finding.name for finding in findings if finding.is_cause]


# Evaluated once, so that the best checkpoint is the last, which has overfitted.
OVERFITTED = {
    "num_epochs": 60,
    "eval_epochs": 60,
    "number": 1200,
    "hidden_units": (512,),
    "batch_size": 50,
    "dropout": 0.0,
}
PLANTED = {
    "dependence": {"is_dependent": True},
    "calibration": OVERFITTED,
    "data": OVERFITTED,
}


@pytest.mark.slow
def test_without_a_cause_none_is_named(tmp_path):
    run = _trained(tmp_path)
    findings = diagnose.diagnose(str(run), with_curve=True)
    print(diagnose.describe(findings, str(run)))
    assert _causes(findings) == []
    assert "holds this run back" in diagnose.describe(findings, str(run))


@pytest.mark.slow
@pytest.mark.parametrize("cause", list(PLANTED))
def test_the_planted_cause_is_named(tmp_path, cause):
    run = _trained(tmp_path, **PLANTED[cause])
    findings = diagnose.diagnose(str(run))
    print(diagnose.describe(findings, str(run)))
    assert cause in _causes(findings)
    if cause == "dependence":
        assert _causes(findings) == [cause]
        assert "--head=chain" in diagnose.describe(findings, str(run))


@pytest.mark.slow
def test_the_command_writes_figures_and_pictures(tmp_path):
    run = _trained(tmp_path, number=900, num_epochs=1, eval_epochs=1)
    output = runs.run(runs.command("tfxml.diagnose", f"--workdir={run}"))
    assert "calibration" in output and "written" in output
    found = json.loads((run / "diagnosis" / "diagnosis.json").read_text())
    assert [one["name"] for one in found] == list(diagnosis_plots._DRAWERS)
    if diagnosis_plots.can_draw():
        for one in found:
            path = run / "diagnosis" / f"{one['name'].replace(' ', '_')}.png"
            assert path.read_bytes().startswith(b"\x89PNG")
