"""What is installed and published: scripts, extras, archives, CI and hooks."""

import configparser
import email
import importlib
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import documents
import pytest
import yaml

import tfxml
from tfxml import __main__ as main

ROOT = documents.ROOT
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
EXTRAS = SETUP["options.extras_require"]
IGNORED = (ROOT / ".gitignore").read_text().replace("/", "").split()


def _lines(text):
    return [line for line in text.splitlines() if line]


def _scripts():
    """Returns the targets of the console scripts by their names."""
    lines = _lines(SETUP["options.entry_points"]["console_scripts"])
    return dict(line.split(" = ") for line in lines)


def test_every_command_has_a_script():
    commands = {
        path.stem: f"tfxml.{path.stem}"
        for path in (ROOT / "tfxml").glob("[a-z]*.py")
        if re.search(r"^def run\(\)", path.read_text(), flags=re.M)
    }
    commands["export"] = "tfxml.export.__main__"
    assert _scripts() == {
        "tfxml": "tfxml.__main__:run",
        **{
            f"tfxml-{name.replace('_', '-')}": f"{module}:run"
            for name, module in commands.items()
        },
    }
    assert set(main.COMMANDS) == set(commands)


def _tfxml(*words):
    """Runs the command that has all the others."""
    return subprocess.run(
        [sys.executable, "-m", "tfxml", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_one_command_has_all_the_others():
    listed = _tfxml("--help")
    assert (listed.returncode, listed.stderr) == (0, "")
    for name in main.COMMANDS:
        assert re.search(rf"^  {name} +[A-Z]", listed.stdout, flags=re.M)
    assert _tfxml().returncode == 1
    assert _tfxml("plan", "--help").stdout.startswith("usage: python -m tfxml.")
    done = _tfxml("tarin")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "FATAL there is no command tarin. Did you mean train? `tfxml --help` "
        "lists them\n"
    )
    done = _tfxml("plan", "--num_labels=1", "--num_features=9")
    assert done.stderr.startswith("FATAL `num_labels` must be at least 2")


@pytest.mark.parametrize("target", _scripts().values())
def test_scripts_lead_to_a_function(target):
    module, _, name = target.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_extras_have_names_that_every_pip_finds():
    """Old versions of pip do not match `a_b` with the `a-b` of a wheel."""
    for name in EXTRAS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), name


def test_extras_in_texts_exist():
    texts = [page.read_text() for page in documents.pages()]
    for folder in ("tests", "benchmarks", ".github", ".ci", "notebooks"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                texts.append(path.read_text())
    named = re.findall(r"\.\[([\w,-]+)\]", " ".join(texts))
    extras = set(itertools.chain.from_iterable(x.split(",") for x in named))
    assert {"test", "docs", "export"} <= extras
    assert extras <= set(EXTRAS)


def test_tests_have_what_the_documentation_needs():
    assert set(_lines(EXTRAS["docs"])) <= set(_lines(EXTRAS["test"]))


# --- archives -----------------------------------------------------------


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Returns a clean copy of the project, its sdist and its wheel."""
    folder = tmp_path_factory.mktemp("archives")
    copy = folder / "project"
    shutil.copytree(
        ROOT,
        copy,
        ignore=shutil.ignore_patterns(".git", ".*_cache", *IGNORED),
    )
    files = {path for path in copy.rglob("*") if path.is_file()}
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from setuptools import build_meta\n"
            "build_meta.build_sdist('dist')\nbuild_meta.build_wheel('dist')",
        ],
        cwd=copy,
        check=True,
        capture_output=True,
        timeout=120,
    )
    names = {path.relative_to(copy).as_posix() for path in files}
    (source,) = (copy / "dist").glob("*.tar.gz")
    (wheel,) = (copy / "dist").glob("*.whl")
    return names, source, wheel


def test_sdist_holds_the_project(archives):
    names, source, _ = archives
    with tarfile.open(source) as archive:
        inside = {
            pathlib.PurePosixPath(name).relative_to(source.name[:-7]).as_posix()
            for name in archive.getnames()
            if "/" in name
        }
    assert names - inside <= {".gitignore"}
    for name in (
        "configs/bibtex_sigmoid.cfg",
        "configs/cluster/slurm.sh",
        "docs/index.md",
        "docs/images/cost.png",
        "notebooks/colab_tpu.ipynb",
        "tests/packaging_test.py",
        "mkdocs.yml",
        "CHANGELOG.md",
    ):
        assert name in inside, name


def test_wheel_holds_the_packages(archives):
    names, _, wheel = archives
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    packages = {
        name for name in names if name.startswith(("tfxml/", "strategies/"))
    }
    assert {name for name in inside if ".dist-info/" not in name} == packages
    for name in (
        "tfxml/py.typed",
        "strategies/py.typed",
        "tfxml/export/js/page/page.html",
        "tfxml/data/builders/extreme_classification/CITATIONS.bib",
    ):
        assert name in inside, name


def test_wheel_says_what_setup_says(archives):
    with zipfile.ZipFile(archives[2]) as archive:
        (path,) = [x for x in archive.namelist() if x.endswith("/METADATA")]
        facts = email.message_from_bytes(archive.read(path))
    assert set(facts.get_all("Provides-Extra")) == set(EXTRAS)
    assert facts["Version"] == tfxml.__version__
    assert facts["Description-Content-Type"] == "text/markdown"
    assert facts.get_payload().startswith("# tfxml")


def test_archives_pass_an_index(archives):
    """What an index refuses, or shows badly."""
    pytest.importorskip("twine")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *archives[1:]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    # A page on an index finds no file of the project.
    readme = (ROOT / "README.md").read_text()
    for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme):
        assert target.startswith("https://"), target


def _write_stub(folder, name, version, extras):
    """Writes a wheel of nothing, so that pip has what is asked for."""
    facts = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Provides-Extra: {extra}" for extra in extras),
    ]
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        "METADATA": "\n".join(facts) + "\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{stem}.dist-info/{file}", text)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """Returns a folder with a stub of every package that we ask for."""
    requirements = pytest.importorskip("packaging.requirements")
    folder = tmp_path_factory.mktemp("stubs")
    lines = _lines(SETUP["options"]["install_requires"])
    for extra in EXTRAS.values():
        lines += _lines(extra)
    wanted = {}
    for line in lines:
        one = requirements.Requirement(line)
        least = [
            spec.version
            for spec in one.specifier
            if spec.operator in ("==", ">=")
        ]
        wanted.setdefault(one.name, (set(), set()))
        wanted[one.name][0].update(least or ["1"])
        wanted[one.name][1].update(one.extras)
    for name, (versions, extras) in wanted.items():
        for version in versions:
            _write_stub(folder, name, version, extras)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "version",
    re.findall(r"Python :: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.M),
)
def test_the_oldest_pip_finds_every_extra(version, archives, stubs, tmp_path):
    """The pip that comes with each supported Python."""
    python = shutil.which(f"python{version}")
    chosen = {**os.environ, "PYENV_VERSION": version}
    if python is None or subprocess.run([python, "-V"], env=chosen).returncode:
        pytest.skip(f"python{version} is not installed")
    subprocess.run(
        [python, "-m", "venv", tmp_path], env=chosen, check=True, timeout=120
    )
    pip = [tmp_path / "bin" / "python", "-m", "pip", "--isolated"]
    for extra in EXTRAS:
        done = subprocess.run(
            [
                *(*pip, "install", "--dry-run", "--no-index"),
                *("--disable-pip-version-check", f"--find-links={stubs}"),
                f"{archives[2]}[{extra}]",
            ],
            env=chosen,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "does not provide" not in done.stdout + done.stderr, extra
        (line,) = re.findall("^Would install (.*)$", done.stdout, flags=re.M)
        installed = {re.sub(r"-[\d.]+$", "", one) for one in line.split()}
        for wanted in _lines(EXTRAS[extra]):
            name = re.match(r"[\w-]+", wanted)[0]
            assert name in installed, (extra, wanted)


# --- containers and conda -------------------------------------------------


DOCKERFILES = sorted((ROOT / "configs" / "docker").glob("Dockerfile*"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_are_linted(path):
    beside = os.pathsep.join([os.path.dirname(sys.executable), os.defpath])
    linter = shutil.which("hadolint", path=beside)
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [linter, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfiles_run_the_command_as_a_user(path):
    text = path.read_text()
    assert 'ENTRYPOINT ["tfxml"]' in text and "\nUSER 1000\n" in text
    (version,) = set(re.findall(r"^FROM python:(3\.\d+)-slim", text, re.M))
    assert f"Python :: {version}\n" in SETUP["metadata"]["classifiers"] + "\n"
    wanted = _lines(SETUP["options"]["install_requires"])[0]
    assert path.suffix != ".gpu" or (
        wanted.replace("tensorflow", "tensorflow[and-cuda]") in text
    )


def test_conda_asks_for_what_pip_does():
    recipe = yaml.safe_load(
        (ROOT / "configs" / "conda" / "meta.yaml").read_text()
    )
    assert recipe["package"]["version"] == tfxml.__version__
    assert recipe["about"]["license"] == SETUP["metadata"]["license"]
    python = f"python {SETUP['options']['python_requires']}"
    assert recipe["requirements"]["run"] == [
        python,
        *(
            re.sub(r"(?=[><])", " ", line, count=1)
            for line in _lines(SETUP["options"]["install_requires"])
        ),
    ]
    assert python in recipe["requirements"]["host"]


# --- what is beside the code ----------------------------------------------


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == tfxml.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def _workflow():
    path = ROOT / ".github" / "workflows" / "ci.yml"
    return yaml.safe_load(path.read_text())["jobs"]["test"]


def test_hosted_ci_does_what_ci_run_does():
    script = (ROOT / ".ci" / "run").read_text()
    script = script.replace('"$folder/env/bin/', '"').replace("python -m", "")
    steps = "\n".join(step.get("run", "") for step in _workflow()["steps"])
    wanted = re.findall(r'^"(?:pip|ruff|python)" (.+)$', script, flags=re.M)
    assert len(wanted) == 5
    for words in wanted:  # one may run beside the next
        assert words.removesuffix("&").strip() in steps, words


def test_hosted_ci_covers_the_supported_versions():
    matrix = _workflow()["strategy"]["matrix"]
    pythons = re.findall(
        r"Python :: (3\.\d+)$", SETUP["metadata"]["classifiers"], flags=re.M
    )
    assert matrix["python"] == pythons
    assert SETUP["options"]["python_requires"] == ">=3.10,<3.14"
    assert "tensorflow>=2.19,<2.22" in SETUP["options"]["install_requires"]
    assert matrix["tensorflow"] == ["2.19", "2.20", "2.21"]


def test_templates_and_hooks_are_yaml():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        template = yaml.safe_load(path.read_text())
        if path.stem != "config":
            assert {"name", "description", "body"} <= set(template)
            for part in template["body"]:
                assert {"type", "attributes"} <= set(part)


def _hooks():
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    (repository,) = yaml.safe_load(text)["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    return repository["hooks"]


@pytest.mark.parametrize(
    "hook",
    [hook for hook in _hooks() if hook["language"] == "pygrep"],
    ids=lambda hook: hook["id"],
)
def test_files_pass_the_hooks(hook):
    """pygrep looks at each line, or with --multiline at the whole file."""
    pattern = re.compile(hook["entry"].encode())
    is_whole = "--multiline" in hook.get("args", ())
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.suffix not in (".py", ".md", ".cfg", ".yml", ".toml", ".cff"):
            continue
        if not path.is_file() or any(
            p in IGNORED or p == ".git" for p in parts
        ):
            continue
        data = path.read_bytes()
        for piece in [data] if is_whole else data.split(b"\n"):
            assert not data or not pattern.search(piece), path
