"""The Dagster side: what `pipelines.definitions` puts together, and nothing that loads or models.

raw_assets.py     the raw tables: a step a source, over `load_source`
raw_checks.py     what is asked of them after each load; an error in it fails the run at its end
dbt_models.py     the models and their tests: one step, over `dbt build` (dbt_manifest.py: parsed)
column_lineage.py which columns the columns of a model are made of (columns_read.py: read from SQL)
days.py           chosen days read again, and those that the command line has read
alerts.py         what is posted when a scheduled run fails, or nothing is loaded any more
pages.py          what the page of an asset shows; plot.py draws
failures.py       what failed in a run, in lines
run_log.py        how a load goes on, told to the run's log
policy.py         retries, pools, tags: how a run may fail
deployment.py     executor, storage, launcher: where runs work and are kept
in_thread.py      work that leaves a run interruptible
quick_history.py  a run's events in SQLite, without waiting for the disk
"""
