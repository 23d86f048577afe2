"""The test results of a run, from the pages of the API to rows and what they come to."""

import hashlib
from collections import Counter
from typing import Any

from pipelines.errors import PermanentError
from pipelines.http.client import Client
from pipelines.http.json_decode import UndecodableRecord
from pipelines.sources.base import BadReference, Difference, FlatRun, References, Rows, RunResults
from pipelines.sources.content import redaction_salt, sanitize
from pipelines.sources.fields import BadFieldError, Json, bigint, count, kind, required
from pipelines.sources.redaction import Redactor
from pipelines.sources.rows import Row, RowMaker
from pipelines.sources.spooled_rows import SpooledRows
from pipelines.sources.testmo import api, tables
from pipelines.sources.testmo.expands import ExpandsFlattener
from pipelines.sources.testmo.tests_paging import result_pages

# A run with more results that cannot be parsed is left for later: the API has changed, it seems.
_MOST_BAD = 1_000

_RUN, _TESTS = tables.RUNS.name, tables.TESTS.name
_STATUS = tables.TESTS.index("status")
_PASSED, _FAILED = 2, 3  # where the instance has no status of that ID
_TOTAL, _UNTESTED, _SUCCESSES, _FAILURES = (
    tables.RUNS.index(name)
    for name in ("total_count", "untested_count", "success_count", "failure_count")
)


class RunTests:
    """Reads the test results of runs; URLs in them are masked by `redactor`."""

    endpoint = api.TESTS_ENDPOINT

    def __init__(
        self, client: Client, redactor: Redactor, expands: ExpandsFlattener, setting: str
    ) -> None:
        self.setting = setting
        self._client, self._expands = client, expands
        self._row = RowMaker(tables.TESTS, redactor).row
        self._salt = redaction_salt(redactor)

    async def probe(self, run_id: str) -> None:
        """Ask for a page of a run's results. Raises ApiError."""
        await api.tests_page(self._client, run_id, 1)

    def requests(self, listed: Json) -> int:
        """How many pages the results of a run take; one where it does not count them."""
        try:
            tests = count(listed, "total_count") or 0
        except BadFieldError:
            tests = 0
        return max(1, -(-tests // api.TESTS_PAGE_SIZE))

    def check(self, result: Json) -> None:
        """Raise BadFieldError where no row can be made of a result."""
        self._flat(result, 0)

    async def read(self, run: FlatRun) -> RunResults:
        """All results of a run, in the order of their IDs.

        Raises ApiError, also for a run with more than 1,000 results that cannot be parsed.
        """
        (run_row,) = run.rows[_RUN]
        rows = SpooledRows()
        digest = hashlib.blake2b(digest_size=16, key=self._salt)
        size = 0
        statuses: Counter[int | None] = Counter()
        bad: list[BadReference] = []
        references: Rows = {}
        bad_references: list[BadReference] = []

        async def fetch(page: int) -> api.TestsPage:
            return await api.tests_page(self._client, run.run_id, page)

        is_expected = bool(run_row[_TOTAL])
        async for page in result_pages(fetch, run.run_id, is_expected=is_expected):
            records, canonical = _sanitized(page.results, bad)
            digest.update(canonical)
            size += len(canonical)
            flat = self._rows(records, run_row[0], bad)
            statuses.update(row[_STATUS] for row in flat)
            rows.add(flat)
            if len(bad) > _MOST_BAD:
                raise PermanentError(
                    f"testmo: more than {_MOST_BAD:,} test results of run {run.run_id} cannot be "
                    f"parsed, as {bad[0].error}"
                )
            page_references = self._expands.flatten(page.expands)
            bad_references += page_references.bad
            for table, more in page_references.rows.items():
                references.setdefault(table, []).extend(more)
        return RunResults(
            _TESTS,
            rows,
            digest.digest(),
            size,
            bad,
            self._differences(run_row, statuses),
            References(references, bad_references),
        )

    def _rows(self, records: list[Any], run_id: int, bad: list[BadReference]) -> list[Row]:
        rows = []
        for record in records:
            try:
                rows.append(self._flat(record, run_id))
            except BadFieldError as error:
                bad.append(BadReference("result", record, str(error)))
        return rows

    def _flat(self, record: Any, run_id: int) -> Row:
        if type(record) is not dict:
            raise BadFieldError("result", f"expected an object, got {kind(record)}")
        test_id = required(bigint(record, "automation_test_id"), "automation_test_id")
        return self._row(record, run_id, test_id)

    def _differences(self, run: Row, statuses: Counter[int | None]) -> list[Difference]:
        """Where the run's own counts are not what its results come to; null announces nothing.

        Tests that a run counts as untested may have a result or none.
        """
        loaded = statuses.total()
        differences = []
        if (total := run[_TOTAL]) is not None:
            least = total - max(run[_UNTESTED] or 0, 0)
            if not least <= loaded <= total:
                announced = total if loaded > total else least
                differences.append(Difference("tests.total_count", announced, loaded))
        for name, column, meaning, documented in (
            ("tests.success_count", _SUCCESSES, tables.STATUSES.index("is_passed"), _PASSED),
            ("tests.failure_count", _FAILURES, tables.STATUSES.index("is_failed"), _FAILED),
        ):
            counted = sum(
                number
                for status, number in statuses.items()
                if self._expands.means(status, meaning, default=status == documented)
            )
            if (announced := run[column]) is not None and announced != counted:
                differences.append(Difference(name, announced, counted))
        return differences


def _sanitized(results: list[Any], bad: list[BadReference]) -> tuple[list[Any], bytes]:
    """Results as they can be stored, and their canonical JSON; the others are set aside."""
    decoded = []
    for result in results:
        if isinstance(result, UndecodableRecord):
            bad.append(BadReference("result", result, result.reason))
        else:
            decoded.append(result)
    try:
        page, canonical = sanitize({"result": decoded})
        return page["result"], canonical
    except BadFieldError:
        if len(decoded) == 1:
            bad.append(BadReference("result", decoded[0], "nested too deeply"))
            return [], b""
    # One of them is nested too deeply: each by itself.
    parts = [_sanitized([result], bad) for result in decoded]
    return [record for records, _ in parts for record in records], b"".join(
        canonical for _, canonical in parts
    )
