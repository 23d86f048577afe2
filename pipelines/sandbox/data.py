"""The runs and books that a sandbox serves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SandboxData:
    """Runs as the two APIs answer them in detail, and the objects that Testmo's runs refer to.

    `testmo_books` holds `automation_sources` (`id`, `project_id`, `name`) and `statuses` (with
    `system_name` and the `is_…` flags) as lists, and `configs`, `milestones`, `users` and
    `projects` as names by ID, the ID being text as JSON wants it. `testmo_tests` gives the test
    results of a run; None: an instance that does not have their endpoint.
    """

    postman_runs: list[dict[str, Any]]
    testmo_runs: list[dict[str, Any]]
    testmo_books: dict[str, Any]
    testmo_tests: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None
