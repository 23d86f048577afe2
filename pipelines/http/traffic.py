"""What a load has sent and received, counted."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Traffic:
    """What a load has sent and received.

    Requests by endpoint, retries included; bytes of bodies, decompressed; seconds spent waiting
    for the rate limit; seconds that the attempts of requests took that were given up.
    """

    requests: Counter[str] = field(default_factory=Counter)
    bytes_received: int = 0
    waited_seconds: float = 0.0
    failed_seconds: float = 0.0
