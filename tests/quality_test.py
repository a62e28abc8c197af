"""The recipes on the real data sets reach what the README's table says."""

import pathlib

import pytest
import runs

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
BARS = {
    "bibtex_sigmoid": {"P@1": 62.6},
    "bibtex_sigmoid_reranked": {"P@1": 64.0, "PSP@1": 50.22},
    "bibtex_mach": {"P@1": 62.6},
    "delicious_sigmoid": {"P@1": 65.0},
    "delicious_mach": {"P@1": 67.0},
    "eurlex57k_sigmoid": {"P@1": 90.0, "P@5": 67.0},
    "eurlex57k_sigmoid_reranked": {"P@1": 92.07, "P@3": 82.79, "P@5": 70.03},
    "eurlex57k_sigmoid_fast": {"P@1": 91.0},
    "eurlex57k_mach": {"P@1": 89.0},
    "tibkat-gnd_sigmoid": {"P@1": 47.0},
    "tibkat-gnd_sigmoid_reranked": {"P@1": 48.73, "P@3": 31.69, "P@5": 23.35},
    "tibkat-gnd_mach_reranked": {"P@1": 48.73, "P@3": 31.69},
    "tibkat-gnd_centroid_reranked": {"P@1": 47.54, "PSP@1": 19.5},
    "tibkat-gnd_mach": {"P@1": 44.0},
    "yso-en_centroid_reranked": {"P@1": 35.68, "P@3": 21.7, "P@5": 15.83},
}


def test_every_recipe_has_a_bar():
    assert {path.stem for path in CONFIGS.glob("*.cfg")} == set(BARS)


@pytest.mark.quality
@pytest.mark.parametrize("recipe", sorted(BARS))
def test_recipe_reaches_its_bar(recipe, real_data, tmp_path):
    folder = real_data(recipe.partition("_")[0])
    words = [
        f"--flagfile={CONFIGS / recipe}.cfg",
        f"--data_dir={folder}",
        f"--workdir={tmp_path}",
    ]
    runs.run(runs.command("tfxml.train", *words), seconds=3600)
    reached = runs.entries(tmp_path)[-1]
    for key, bar in BARS[recipe].items():
        assert reached[key] >= bar, (key, reached[key])
