"""Two real worker processes reach the weights of one."""

import pytest
import runs

RECIPE = [
    "--synthetic_labels=60",
    "--synthetic_train=330",
    "--synthetic_test=91",
    "--hidden_units=16",
    "--dropout=0",
    "--batch_size=63",
    "--num_epochs=2",
    "--steps_per_loop=4",
    "--num_repetitions=3",
    "--num_buckets=20",
    "--global_clipnorm=0.5",
]


@pytest.mark.parametrize(
    "head, form",
    [
        ("sigmoid", "compact"),
        pytest.param("sigmoid", "dense", marks=pytest.mark.slow),
        pytest.param("mach", "compact", marks=pytest.mark.slow),
    ],
)
def test_two_workers_equal_one_process(head, form, tmp_path):
    flags = [*RECIPE, f"--head={head}", f"--form={form}"]
    one, two = tmp_path / "one", tmp_path / "two"
    runs.run(runs.command("tfxml.train", *flags, f"--workdir={one}"))
    words = [*flags, "--strategy=multi_worker", f"--workdir={two}"]
    launched = runs.launched(["--workers=2"], "tfxml.train", *words)
    said = runs.run(launched)
    assert "replicas=2" in said and "[worker:0] epoch 2: " in said
    # Others than the chief say who they are, and no more.
    lines = [line for line in said.splitlines() if "[worker:1]" in line]
    assert [line.split()[1].split("=")[0] for line in lines] == [
        "workdir",
        "strategy",
    ]
    for prefix in ("model/", "step/"):
        runs.assert_near(
            runs.tensors(one, prefix), runs.tensors(two, prefix), atol=1e-5
        )
    for ours, theirs in zip(runs.entries(one), runs.entries(two), strict=True):
        theirs = runs.without_costs(theirs)
        assert runs.without_costs(ours) == pytest.approx(theirs, abs=1e-4)


@pytest.mark.slow
def test_two_workers_resume_a_finished_run(tmp_path):
    """All of them find where it was: there is nothing left to do."""
    words = [*RECIPE, "--strategy=multi_worker", f"--workdir={tmp_path}"]
    launched = runs.launched(["--workers=2"], "tfxml.train", *words)
    runs.run(launched)
    assert "resumes   at step 12" in runs.run(launched)


@pytest.mark.slow
def test_only_the_chief_prints_an_evaluation(tmp_path):
    runs.run(runs.command("tfxml.train", *RECIPE, f"--workdir={tmp_path}"))
    words = [f"--workdir={tmp_path}", "--strategy=multi_worker", "--deciles"]
    said = runs.run(runs.launched(["--workers=2"], "tfxml.evaluate", *words))
    assert "[worker:0] decile" in said
    assert "[worker:1]" not in said
