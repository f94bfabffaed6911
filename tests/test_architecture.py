"""The architecture is tested: layers, doors and sizes. The rules are those of docs/explanation/architecture.rst."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NAME = "django_asyncexchange"
pytestmark = pytest.mark.xdist_group("architecture")

PACKAGE = Path(__file__).parent.parent / NAME

# Packages that may import the standard library only, and packages that may import their protocol only.
VALUES = {"defaults", "exceptions", "protocol"}
DIALECTS = {"dialects"}

# What only certain modules may import.
DOORS = {
    "django.conf.settings": {"conf", "migrations"},
    "celery": {"executors.celery"},
    "django.tasks": {"executors.django_tasks"},
    "drf_spectacular": {"openapi.spectacular"},
    "django_q": {"executors.django_q"},
    "django_tasks": {"executors.django_tasks"},
    "kombu": {"executors.celery"},
    "django_tasks_db": {"executors.django_tasks"},
    "requests": {"client.requests_adapter", "webhooks.transport"},
    "requests_hardened": {"webhooks.transport"},
    "socket": {"protocol.address_rules", "protocol.process_id", "webhooks.transport"},  # only the last opens sockets
    "standardwebhooks": {"webhooks.signatures"},
    "urllib3": {"client.requests_adapter", "webhooks.transport"},
    "django.core.files.storage.storages": {"store.bodies"},
    "django.core.files.storage.default_storage": {"store.bodies"},
}

DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
LINES_OF_FILE = 250
LINES_OF_FUNCTION = 40


@functools.cache
def modules() -> dict[str, Path]:
    """Dotted name below the package → file; a package goes by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class Runtime(ast.NodeTransformer):
    """The module without code for type checkers."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        return node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


@functools.cache
def tree(module: str) -> ast.Module:
    tree: ast.Module = Runtime().visit(ast.parse(modules()[module].read_text(encoding="utf-8")))
    return tree


def imported(node: ast.AST, module: str) -> Iterator[str]:
    """The absolute dotted names of an import statement."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        here = [NAME, *module.split(".")] if module else [NAME]
        above = node.level - (modules()[module].name == "__init__.py")
        base = here[: len(here) - above] if node.level else []
        stem = ".".join([*base, *([node.module] if node.module else [])])
        yield from (f"{stem}.{alias.name}" for alias in node.names)


@functools.cache
def foreign(module: str) -> set[str]:
    names = {name for node in ast.walk(tree(module)) for name in imported(node, module)}
    return {name for name in names if name.split(".")[0] != NAME}


def own(module: str, node: ast.AST | None = None) -> set[str]:
    """The modules of this package that ``node`` (by default the whole module) imports."""
    found = set()
    for name in (name for child in ast.walk(node or tree(module)) for name in imported(child, module)):
        root, _, rest = name.partition(".")
        if root == NAME:
            found.add(rest if rest in modules() else rest.rpartition(".")[0])
    return found - {module}


def room(module: str) -> str:
    return module.split(".")[0]


def is_migration(module: str) -> bool:
    return room(module) == "migrations"


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_layers_are_kept():
    """The import-linter contract in pyproject.toml."""
    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([linter, "--no-cache"], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_root_package_imports_no_submodule():
    assert own("") == set()


def test_there_are_no_import_cycles():
    # A package's __init__ may re-export its modules, which may import each other, but not the package.
    graph = {module: own(module) - {""} for module in modules()}
    graphlib.TopologicalSorter(graph).prepare()


def test_there_are_no_own_imports_inside_functions():
    # Except in AppConfig.ready(): before it, nothing with models can be imported.
    lazy = [
        f"{module}.{function.name}"
        for module in modules()
        if not is_migration(module)
        for function in functions(module)
        if own(module, function) and (module, function.name) != ("apps", "ready")
    ]
    assert lazy == []


def test_value_modules_import_the_standard_library_only():
    strangers = {
        module: names
        for module in modules()
        if room(module) in VALUES
        if (names := {name for name in foreign(module) if name.split(".")[0] not in sys.stdlib_module_names})
    }
    assert strangers == {}


def test_dialects_import_no_framework_network_or_files():
    banned = {
        "django",
        "rest_framework",
        "django_filters",
        "django_q",
        "requests",
        "urllib3",
        "socket",
        "os",
        "pathlib",
    }
    strangers = {
        module: names
        for module in modules()
        if room(module) in DIALECTS
        if (names := {name for name in foreign(module) if name.split(".")[0] in banned})
    }
    assert strangers == {}


def test_dialects_read_no_clock():
    clocks = {"dt.datetime.now", "dt.datetime.utcnow", "dt.date.today", "datetime.now", "datetime.utcnow", "time.time"}
    readers = [
        f"{module}, line {node.lineno}"
        for module in modules()
        if room(module) in VALUES | DIALECTS
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks
    ]
    assert readers == []


@pytest.mark.parametrize("name", list(DOORS))
def test_restricted_import_is_used_by_its_modules_only(name):
    through = {
        module
        for module in modules()
        if any(other == name or other.startswith(f"{name}.") for other in foreign(module))
    }
    assert {
        module for module in through if not any(f"{module}.".startswith(f"{door}.") for door in DOORS[name])
    } == set()


def test_settings_of_django_q2_are_read_by_its_executor_only():
    """``defaults`` writes them, and ``conf.check_ids`` documents its checks."""
    readers = {
        module
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        if any("Q_CLUSTER" in str(each.value) for each in ast.walk(node) if isinstance(each, ast.Constant))
    }
    assert {module for module in readers if not f"{module}.".startswith("executors.django_q.")} == set()


def test_on_commit_callbacks_have_a_name():
    """Before 6.1 Django logs the ``__qualname__`` of a failed robust callback, and raises if there is none."""
    nameless = [
        f"{module}, line {node.lineno}"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("on_commit")
        if not isinstance(node.args[0], ast.Lambda)
    ]
    assert nameless == []


def test_there_are_no_utils_modules():
    assert [module for module in modules() if DRAWERS & set(module.split("."))] == []


def test_files_are_short():
    sizes = {
        module: sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        for module, path in modules().items()
        if not is_migration(module)
    }
    assert {module: size for module, size in sizes.items() if size > LINES_OF_FILE} == {}


def test_functions_are_short():
    sizes = {
        f"{module}.{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in modules()
        if not is_migration(module)
        for function in functions(module)
    }
    assert {name: size for name, size in sizes.items() if size > LINES_OF_FUNCTION} == {}
