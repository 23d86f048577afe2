"""What a worker of dagster-celery reads where this folder is on its PYTHONPATH.

dagster-celery's own way, a YAML file, would write the URL, password included, into Dagster's home.
"""

import os

broker_url = result_backend = os.environ["TESTRUNS_DAGSTER_BROKER_URL"]
# A step that a worker has reserved would wait for its long load, while others are idle; and Redis
# would give it to a second worker as well when it has waited for an hour.
worker_disable_prefetch = True
# A broker that restarts is waited for.
broker_connection_retry_on_startup = True
