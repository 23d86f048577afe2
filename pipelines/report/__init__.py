"""One self-contained HTML page from the marts: what a person opens in the morning.

`write.py` is the whole story: a period (period.py), rows of the marts (reading.py, by
sql/queries/report.sql), what they say (night.py, health.py, latency.py, flakiness.py,
streaks.py), charts (charts.py), and the page (page.py, templates/).
"""

import logging

# Where no home can be written to, it would warn on stderr of a cache that we can do without.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
