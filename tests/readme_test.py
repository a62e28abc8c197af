"""The front page: short, whole, and of one mind with the other pages."""

import re

import documents
import pytest

ROOT = documents.ROOT
README = (ROOT / "README.md").read_text()
RESULTS = (ROOT / "docs" / "results.md").read_text()
# Pages whose links lead to other files of the project.
LINKING = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def _rows(text):
    """Returns the rows of results by recipe or peer and their data set."""
    found, data = {}, None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) < 9 or cells[0].startswith(("data", "---")):
            continue
        data = cells[0] or data
        figures = [
            cell for cell in cells[2:] if re.fullmatch(r"\d+\.\d+", cell)
        ]
        found[data, cells[1].strip("`")] = figures
    return found


def test_size():
    assert len(README.encode()) <= 10_000


def test_no_picture():
    """An index of packages shows the page, and has no picture beside it."""
    assert "![" not in README and "<img" not in README


@pytest.mark.parametrize("page", LINKING, ids=documents.name_of)
def test_links_lead_somewhere(page):
    for link in documents.links(page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        if anchor:
            assert anchor in documents.anchors(target.read_text()), link


def test_results_are_those_of_the_page():
    ours, all_rows = _rows(README), _rows(RESULTS)
    assert len(ours) == 8
    for key, figures in ours.items():
        assert len(figures) == 6
        assert all_rows[key] == figures, key


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.cfg")), ids=lambda path: path.stem
)
def test_recipes_expect_the_results_of_the_page(path):
    """The comment on top of a recipe is what the table says of it."""
    comment = " ".join(
        line.lstrip("# ")
        for line in path.read_text().splitlines()
        if line.startswith("#")
    )
    expected = re.search(r"P@1/3/5 ([\d.]+)/([\d.]+)/([\d.]+)", comment)
    name = f"configs/{path.name}"
    (figures,) = [row for (_, m), row in _rows(RESULTS).items() if m == name]
    assert list(expected.groups()) == figures[:3]


def test_the_pages_are_all_reached_from_the_front():
    linked = {link.partition("#")[0] for link in documents.links(README)}
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in linked, page


@pytest.mark.parametrize("page", documents.pages(), ids=documents.name_of)
def test_no_word_that_was_replaced(page):
    """The field's words, whatever they were called before."""
    old = r"\b(second look|shortlist|trunks?|worlds?|refine[rd]?|refining)\b"
    assert not re.findall(old, page.read_text(), flags=re.I)
