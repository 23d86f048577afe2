"""Postman's answers as bytes: lists and details of numbered runs, made without encoding anew.

A dozen variants of a run's executions are encoded once; a detail is a run's own head and one of
them. So serving costs little, and a history of any length no memory.
"""

import json
from datetime import UTC, datetime
from typing import Any

from bench.work import POSTMAN_EVERY, Work

_VARIANTS = 12
_PAGE = 100
_EVERY = int(POSTMAN_EVERY.total_seconds())


class PostmanBodies:
    """The histories of a work's collections; `runs` is how many each holds now."""

    def __init__(self, work: Work) -> None:
        self.work, self.runs = work, work.postman_runs
        self._executions = [self._encoded(variant) for variant in range(_VARIANTS)]
        self._collections = {scope: number for number, scope in enumerate(work.collection_ids)}

    def page(self, collection: str, query: dict[str, str]) -> bytes:
        """The page of summaries after `cursor`, newest first."""
        newest = int(query.get("cursor", self.runs))
        oldest = max(newest - int(query.get("limit", _PAGE)), 0)
        listed = b",".join(
            b"{%b}" % self._summary(collection, number) for number in range(newest, oldest, -1)
        )
        following = b',"nextCursor":"%d"' % oldest if oldest else b""
        return b'{"runs":[%b],"meta":{"total":%d%b}}' % (listed, self.runs, following)

    def detail(self, collection: str, run_id: str) -> bytes:
        """One run with its executions."""
        number = int(run_id[-12:])
        summary = self._summary(collection, number)
        return b'{"run":{%b,"duration":8123,"executions":%b}}' % (
            summary,
            self._executions[number % _VARIANTS],
        )

    def _summary(self, collection: str, number: int) -> bytes:
        work = self.work
        started = work.latest + (number - work.postman_runs) * _EVERY
        asserted = work.executions * work.assertions
        return (
            b'"id":"%08x-4a1a-43c7-bb5d-%012d","status":"finished","source":"monitor",'
            b'"startedAt":"%b.123Z","finishedAt":"%b.246Z","stats":{"requests":{"total":%d,'
            b'"failed":0},"assertions":{"total":%d,"failed":%d}},"collectionId":"%b",'
            b'"environmentId":"7d0e5a1c-staging","createdBy":"40817263"'
        ) % (
            self._collections[collection],
            number,
            _iso(started),
            _iso(started + 8),
            work.executions,
            asserted,
            self._failed(number % _VARIANTS),
            collection.encode(),
        )

    def _failed(self, variant: int) -> int:
        return min(variant % 3, self.work.executions)

    def _encoded(self, variant: int) -> bytes:
        """Executions of which the first few have a failed assertion."""
        work = self.work
        return json.dumps(
            [
                {
                    "id": f"e{index:06x}-bb5d-4c9e-1d04-4a1a93c7",
                    "itemName": f"Item number {index}",
                    "request": {
                        "method": "GET",
                        "url": f"https://api.example.com/v1/items/{index}?page=1&size=50",
                    },
                    "response": {
                        "statusCode": 200,
                        "responseTime": 80 + (index * 7 + variant * 13) % 200,
                        "responseSize": 1000 + index,
                    },
                    "assertions": [
                        _assertion(position, passed=index >= self._failed(variant) or position > 0)
                        for position in range(work.assertions)
                    ],
                }
                for index in range(work.executions)
            ],
            separators=(",", ":"),
        ).encode()


def _assertion(position: int, *, passed: bool) -> dict[str, Any]:
    assertion: dict[str, Any] = {"name": f"Status code is 200, check {position}", "passed": passed}
    return assertion if passed else {**assertion, "error": "expected 500 to equal 200"}


def _iso(moment: int) -> bytes:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
