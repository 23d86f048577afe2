"""The way of imports: no file leads back to itself, and no folder to one that stands above it."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pipelines"
# From the ground up, as CONTRIBUTING lists them; each may import those before it.
FLOORS = (
    *("errors", "home", "resources", "sandbox", "http", "sources", "settings", "warehouse"),
    *("ingest", "transform", "report", "orchestration", "definitions", "terminal", "cli"),
)
# A setting is checked by who reads it; lines for the person before the terminal; and a command that
# runs what Dagster loads.
EXCEPTIONS = {
    ("settings", "warehouse.url"),
    ("orchestration.instance", "terminal.output"),
    ("orchestration.nightly", "terminal.output"),
    ("orchestration.nightly", "definitions"),
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports() -> dict[str, set[str]]:
    """The modules that each module of the package names in an import, wherever it stands."""
    modules = {module_of(path) for path in PACKAGE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipelines"):
                parent = (node.module or "").removeprefix("pipelines").lstrip(".")
                inside = {f"{parent}.{alias.name}".lstrip(".") for alias in node.names} & modules
                names |= inside or {parent}
        graph[module_of(path)] = names
    return graph


def test_no_import_leads_back_not_even_for_type_checkers() -> None:
    order = list(TopologicalSorter(imports()).static_order())  # raises CycleError
    assert len(order) > 150


def test_each_folder_imports_only_what_stands_below_it() -> None:
    assert {name.partition(".")[0] for name in imports()} - {"__init__"} == set(FLOORS)
    upward = {
        (module, name)
        for module, names in imports().items()
        for name in names
        if module != "__init__"
        and FLOORS.index(name.partition(".")[0]) > FLOORS.index(module.partition(".")[0])
    }
    assert upward == EXCEPTIONS
