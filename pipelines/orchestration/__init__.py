"""The Dagster side: what `pipelines.definitions` puts together, and nothing that loads or models.

raw_assets.py         the raw tables: a step a source, over `load_source`
dbt_assets.py         the models and their tests: one step, over `dbt build`
backfill_assets.py    windows read again: chosen days, or a job with a window as its config
report_asset.py       the HTML report behind the marts
report_files.py       report files of a folder: a step, its checks, a job and a sensor
checks.py             checks of the raw tables after each load; an error fails the run at its end
jobs.py               jobs and schedule
sensors.py            failed runs, late scopes, and what follows a backfill of any command
alerts.py             the messages of TESTRUNS_ALERT_WEBHOOK
resources.py          the warehouse and the APIs, as the UI shows them
metadata.py           what the page of an asset shows
instance.py           executor, storage, launcher: where runs work and are kept
nightly.py            the job `nightly` in this process, for the command line
failures.py           what failed in a run
run_log.py            the progress of a load in the run's log
step_retry.py         retries, pools, tags: how a run may fail
in_thread.py          work that leaves a run interruptible
dagster_internals.py  all that is used of Dagster without being public
"""
