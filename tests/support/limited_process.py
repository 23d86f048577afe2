"""A process of its own that sends so many requests to a sandbox, as fast as the limit allows.

    python -m tests.support.limited_process '{"url": "…", "root": "…", "requests": 60, …}'

Prints the number of refusals, and the seconds by which its clock is ahead of the warehouse's.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from pipelines.http.client import Client
from pipelines.http.rate_limiter import RateLimiter
from pipelines.warehouse.rate_limits import WarehouseStore

_WORKERS = 8


@dataclass(frozen=True)
class SharedClock:
    """Epoch seconds that have passed `speed` times as fast since `began_at`, in any process.

    `ahead_seconds`: by so much this machine's clock is wrong.
    """

    began_at: float
    speed: float
    ahead_seconds: float = 0.0

    def __call__(self) -> float:
        return self.began_at + (time.time() - self.began_at) * self.speed + self.ahead_seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


async def send(
    clock: SharedClock, url: str, root: str, key: str, collection: str, requests: int
) -> dict[str, Any]:
    # What the store takes for this machine's clock is wrong by as much.
    store = WarehouseStore(url, root, key, lambda: time.time() + clock.ahead_seconds)
    limiter = RateLimiter(1000, monthly_reserve=0, store=store, clock=clock, sleep=clock.sleep)
    client = Client(
        "postman",
        root,
        ("x-api-key", "", SecretStr(key)),
        key_setting="POSTMAN_API_KEY",
        url_setting="POSTMAN_API_URL",
        rate_limiter=limiter,
    )
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            await client.get("GET runs", f"collections/{collection}/runs", {}, member="runs")

    async with client:
        await asyncio.gather(*(work() for _ in range(_WORKERS)))
        ahead = -store.ahead_seconds
    return {"refusals": limiter.refusals, "ahead_seconds": ahead}


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(send(SharedClock(**arguments.pop("clock")), **arguments))))  # noqa: T201
