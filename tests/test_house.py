"""The layout holds: who may import whom, what a light import costs, ceilings, and what is public."""

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[1] / "tsforecast"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a room imports only from rooms before it in this list.
ORDER = (
    "errors",
    "threads",
    "parameters",
    "panel",
    "forecast",
    "metrics",
    "comparison",
    "frames",
    "findings",
    "windows",
    "calendars",
    "artifact",
    "rolling",
    "intervals",
    "design",
    "failures",
    "paths",
    "growth",
    "geography",
    "normals",
    "forecaster",
    "autocorrelation",
    "models",
    "compose",
    "registry",
    "evaluation",
    "datasets",
    "contract",
    "plots",
    "reporting",
    "jobs",
    "cli",
    "__main__",
    "__init__",
)
LEVEL = {room: level for level, room in enumerate(ORDER)}
EXCEPTION = ("panel", "findings")  # Panel.from_table: users look for the door on the block

ONLY_IN = {
    "pandas": {"frames", "calendars", "datasets", "plots", "reporting", "jobs"},
    "plotly": {"plots", "reporting"},
    "jinja2": {"reporting"},
    "typer": {"cli"},
    "rich": {"cli"},
    "pydantic": {"jobs"},
}
OPTIONAL = (
    "jinja2",
    "plotly",
    "polars",
    "prophet",
    "pyarrow",
    "pydantic",
    "rich",
    "sklearn",
    "statsmodels",
    "torch",
    "tqdm",
)
ALLOWED = {("pandas", "tsforecast/models/prophet/stan.py")}  # prophet itself takes and gives tables
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml", "cloudpickle"}


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path) for path in FILES}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def leaf(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[1].removesuffix(".py")


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module a file imports, at its top or inside a function; TYPE_CHECKING blocks count as well."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES or node.module == "tsforecast" else node.module or ""), node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield first.value, node.lineno


def inner(path: Path) -> Iterator[tuple[list[str], int]]:
    for module, line in imported(path):
        parts = module.split(".")
        if parts[0] == "tsforecast" and len(parts) > 1:
            yield parts[1:], line


def rooms_on_disk() -> list[str]:
    return sorted({room(path) for path in FILES})


def test_every_room_has_its_place() -> None:
    assert set(rooms_on_disk()) <= set(LEVEL), "a room that house order does not know"


def test_rooms_import_only_from_above() -> None:
    wrong = [
        f"{name(path)}:{line}: {room(path)} imports {target[0]}"
        for path in FILES
        for target, line in inner(path)
        if target[0] in LEVEL and (room(path), target[0]) != EXCEPTION and LEVEL[target[0]] > LEVEL[room(path)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_room_imports_the_public_names() -> None:
    wrong = [
        f"{name(path)}:{line}: imports {'.'.join(target)} from the package's face"
        for path in FILES
        for target, line in inner(path)
        if target[0] not in LEVEL and target[0] != "__version__"
    ]
    assert not wrong, "\n".join(wrong)


def test_models_do_not_know_each_other() -> None:
    wrong = [
        f"{name(path)}:{line}: imports {'.'.join(target)}"
        for path in FILES
        if room(path) == "models" and len(path.relative_to(PACKAGE).parts) > 1
        for target, line in inner(path)
        if target[0] == "models" and len(target) > 1 and target[1] != leaf(path)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circle_between_modules() -> None:
    graph = {module(path): {target for target, _ in imported(path)} for path in FILES}
    graph["tsforecast.panel"] = graph["tsforecast.panel"] - {"tsforecast.findings"}
    done: set[str] = set()

    def walk(node: str, trail: tuple[str, ...]) -> None:
        assert node not in trail, "circle: " + " -> ".join((*trail[trail.index(node) :], node))
        if node in graph and node not in done:
            for target in sorted(graph[node] - {node, "tsforecast"}):
                walk(target, (*trail, node))
            done.add(node)

    for node in graph:
        walk(node, ())


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_heavy_packages_stay_in_their_room(package: str) -> None:
    wrong = [
        f"{name(path)}:{line}: imports {target}"
        for path in FILES
        for target, line in imported(path)
        if target.partition(".")[0] == package
        and room(path) not in ONLY_IN[package]
        and (package, name(path)) not in ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_that_runs_foreign_code() -> None:
    wrong = []
    for path in FILES:
        wrong += [
            f"{name(path)}:{line}: imports {target}"
            for target, line in imported(path)
            if target.partition(".")[0] in FORBIDDEN_MODULES
        ]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                wrong.append(f"{name(path)}:{node.lineno}: calls {node.func.id}")
            for word in node.keywords:
                bad = {"shell": True, "allow_pickle": True}.get(word.arg or "")
                if bad is not None and isinstance(word.value, ast.Constant) and word.value.value is bad:
                    wrong.append(f"{name(path)}:{node.lineno}: {word.arg}={bad}")
    assert not wrong, "\n".join(wrong)


def test_light_import_pulls_nothing_heavy() -> None:
    code = (
        "import json, sys\nfrom tsforecast import AR, backtest\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    # pandas brings pyarrow by itself where it is installed.
    heavy = {"torch", "prophet", "holidays", "typer", *OPTIONAL} - {"pyarrow"}
    assert not heavy & set(json.loads(seen))


def order(public: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by the alphabet: the order that the linter keeps."""
    return (0 if public.isupper() and len(public) > 1 else 1 if public[0].isupper() else 2, public)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_module_lists_its_public_names_in_order(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    found = (
        [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        ]
        if room(path) != "__init__"
        else [list(importlib.import_module("tsforecast").__all__)]
    )
    defines = any(isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_" for node in tree.body)
    assert found or not defines, "__all__ is missing"
    for names in found:
        assert list(names) == sorted(names, key=None if room(path) == "__init__" else order)
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_ceilings(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 400, "a file has at most 400 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines; 60 is the most, 40 the habit"


def test_public_names_survive_a_second_look_and_are_explained() -> None:
    package = importlib.import_module("tsforecast")
    for public in package.__all__:
        first = getattr(package, public)
        assert getattr(package, public) is first, f"{public} changed on second access"
        assert public in package._ROOMS or not isinstance(first, ModuleType), f"{public} is a module"
        if callable(first):
            assert (first.__doc__ or "").strip(), f"{public} has no docstring"
            assert not first.__doc__.startswith(f"{public}("), f"{public} has the docstring that dataclass makes up"
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense
