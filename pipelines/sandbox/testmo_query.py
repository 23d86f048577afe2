"""The parameters of Testmo's run list, read strictly: what is not understood is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pipelines.sandbox.wire import Json, RequestError, moment, whole_number

EXPANDS = ("automation_sources", "configs", "milestones", "statuses", "users")
_PER_PAGE = {"15": 15, "25": 25, "50": 50, "100": 100}
_SORT = "automation_runs:created_at"
_ID_FILTERS = ("config_id", "created_by", "milestone_id", "source_id")
_STATUSES = {2, 3, 4}


@dataclass(frozen=True)
class RunQuery:
    """Which runs are requested, in which order, and which page of them."""

    page: int
    per_page: int
    order: str
    created_after: datetime | None
    created_before: datetime | None
    numbers: dict[str, list[int]]
    tags: list[str]
    expands: list[str]

    @property
    def filters_fields(self) -> bool:
        """Whether anything but the time of creation decides which runs are wanted."""
        return bool(self.numbers or self.tags)

    def admits(self, run: Json) -> bool:
        """Say whether a run passes every filter on its fields; of several tags any will do."""
        if any(run.get(name) not in wanted for name, wanted in self.numbers.items()):
            return False
        return not self.tags or any(tag in self.tags for tag in run.get("tags") or ())


@dataclass
class Reader:
    """Reads parameters one at a time and gathers the complaints, as one 422 names them all."""

    given: Mapping[str, str]
    errors: dict[str, list[str]] = field(default_factory=dict)

    def choice(self, name: str, allowed: Mapping[str, Any], default: str) -> Any:
        """The value behind a name, or the default."""
        value = self.given.get(name, default)
        if value not in allowed:
            self.complain(name, f"must be one of {', '.join(allowed)}")
            return allowed[default]
        return allowed[value]

    def page(self) -> int:
        """The page requested, from 1 up."""
        page = whole_number(self.given.get("page", "1"))
        if not page:
            self.complain("page", "must be a whole number from 1 up")
        return page or 1

    def time(self, name: str) -> datetime | None:
        """A time in UTC; None: not requested."""
        text = self.given.get(name)
        time = moment(text)
        if text is not None and (time is None or time.utcoffset() != timedelta()):
            self.complain(name, "must be a time in ISO8601 format and UTC")
        return time

    def items(self, name: str) -> list[str]:
        """A comma-separated list."""
        listed = self.given[name].split(",") if name in self.given else []
        if "" in listed:
            self.complain(name, "must be a comma-separated list without gaps")
        return listed

    def numbers(self, name: str) -> list[int]:
        """A comma-separated list of whole numbers."""
        numbers = [whole_number(item) for item in self.items(name)]
        if None in numbers:
            self.complain(name, "must be a comma-separated list of whole numbers")
        return [number for number in numbers if number is not None]

    def expands(self) -> list[str]:
        """The expands requested."""
        listed = self.items("expands")
        if not set(listed) <= set(EXPANDS):
            self.complain("expands", f"may name only {', '.join(EXPANDS)}")
        return listed

    def complain(self, name: str, complaint: str) -> None:
        """Note what is wrong with a parameter."""
        self.errors.setdefault(name, []).append(f"The {name} {complaint}.")

    def refuse_if_wrong(self) -> None:
        """Raise RequestError (422) with all complaints."""
        if self.errors:
            body = {"message": "The given data was invalid.", "errors": self.errors}
            raise RequestError(422, body)


def read_run_query(given: Mapping[str, str]) -> RunQuery:
    """Give the query of a run list; raises RequestError (422) that names every bad parameter."""
    reader = Reader(given)
    reader.choice("sort", {_SORT: _SORT}, _SORT)
    numbers = {name: reader.numbers(name) for name in (*_ID_FILTERS, "status") if name in given}
    if not set(numbers.get("status", ())) <= _STATUSES:
        reader.complain("status", "may name only 2, 3 and 4")
    query = RunQuery(
        page=reader.page(),
        per_page=reader.choice("per_page", _PER_PAGE, "100"),
        order=reader.choice("order", {"asc": "asc", "desc": "desc"}, "desc"),
        created_after=reader.time("created_after"),
        created_before=reader.time("created_before"),
        numbers=numbers,
        tags=reader.items("tags"),
        expands=reader.expands(),
    )
    reader.refuse_if_wrong()
    return query


def read_expands(given: Mapping[str, str]) -> list[str]:
    """Give the expands of a request for one run; raises RequestError (422) if unknown."""
    reader = Reader(given)
    expands = reader.expands()
    reader.refuse_if_wrong()
    return expands
