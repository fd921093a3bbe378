"""The package as it is installed: generated modules, types, a wheel."""

from __future__ import annotations

import importlib.metadata
import io
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import generate

import hitherto
from hitherto.progress import Bar, Progress, line, sink


def run(*command: str | pathlib.Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=600, env=os.environ | (environment or {}), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_generated_modules_are_those_of_the_files(checkout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    generate.generate(tmp_path)
    made = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*_pb2.py*")}
    source = checkout / "python/src"
    kept = {str(path.relative_to(source)): path.read_text() for path in source.rglob("*_pb2.py*")}
    assert sorted(made) == sorted(kept)
    stale = [name for name, text in made.items() if text != kept[name]]
    assert stale == [], "run python/generate.py"


def test_types_hold(checkout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    said = run("-m", "mypy", "--config-file", checkout / "python/pyproject.toml", "--cache-dir", tmp_path, checkout / "python/src/hitherto")
    assert said.startswith("Success: no issues found"), said


def test_a_wheel_is_built_and_works_alone(checkout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, checkout / "python")
    (wheel,) = tmp_path.glob("hitherto-*-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    sources = [str(path.relative_to(checkout / "python/src")) for path in (checkout / "python/src").rglob("*") if path.is_file()]
    assert set(sources) <= set(names), "with py.typed and what is generated"
    target = tmp_path / "installed"
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel)
    program = "import hitherto, sys; print(hitherto.__file__, sorted({'pandas', 'polars', 'torch'} & set(sys.modules)))"
    said = run("-c", program, environment={"PYTHONPATH": str(target)})
    assert said.strip() == f"{target / 'hitherto/__init__.py'} []", "neither pandas nor polars is needed"


def test_versions_agree(checkout: pathlib.Path) -> None:
    project = tomllib.loads((checkout / "python/pyproject.toml").read_text())["project"]
    binary = tomllib.loads((checkout / "Cargo.toml").read_text())
    assert project["version"] == binary["workspace"]["package"]["version"]
    for requirement in project["dependencies"]:
        name, least = re.split(">=|,", requirement)[:2]
        installed = tuple(map(int, importlib.metadata.version(name).split(".")[:2]))
        assert installed >= tuple(map(int, least.split("."))), requirement


def test_everything_public_is_documented() -> None:
    given = {name for name, value in vars(hitherto).items() if getattr(value, "__module__", "").startswith("hitherto.")}
    assert given == set(hitherto.__all__), "what is imported is meant to be used"
    bare = []
    for name in hitherto.__all__:
        thing = getattr(hitherto, name)
        bare += [] if thing.__doc__ else [name]
        if isinstance(thing, type) and thing.__module__.startswith("hitherto"):
            methods = [(key, value) for key, value in vars(thing).items() if not key.startswith("_") and callable(value)]
            bare += [f"{name}.{key}" for key, value in methods if not value.__doc__ and key not in ("to_yaml",)]
    assert bare == []


def test_progress_is_one_line_that_goes_away() -> None:
    assert line(Progress("writing", 1_000, 2_000)) == f"writing    [{'#' * 14}{'.' * 14}]  50%  1,000 of 2,000 rows"
    assert line(Progress("sending", 1_234, None)) == "sending    1,234 rows"
    out = io.StringIO()
    bar = Bar(out)
    for progress in (Progress("sending", 1, None), Progress("sending", 2, None), Progress("writing", 9, 9), Progress("done", 0, None)):
        bar(progress)
    first, second, last = out.getvalue().split("\r")[1:4]
    assert first == "sending    1 rows" and second.startswith("writing    [####"), "not each row is drawn"
    assert last == " " * len(second) and out.getvalue().endswith("\r")
    assert sink(False) is None and sink(None) is None, "nobody looks at the tests"
    assert isinstance(sink(True), Bar)
    seen: list[Progress] = []
    told = sink(seen.append)
    assert told is not None
    told(Progress("writing", 1, 2))
    assert seen == [("writing", 1, 2)]
