"""From run histories to a Postgres warehouse; read it in the order in which the data flows.

settings       what is configured: the environment and `.env`, in one frozen object
http/          one polite request, decoded: client, retries, rate limit
sources/       which systems there are; of each: api (endpoints), paging, tables (mapping), source
warehouse/     Postgres: url, engine, migrations, writer (COPY), ledger (watermarks), embedded
ingest/        load, backfill, audit, reparse, import of files: a session a scope, fetch, commit
transform/     dbt: the parsed project and one runner
orchestration/ Dagster: assets, checks, sensors, jobs, resources; `definitions` puts them together
report/        the marts as one HTML page, a section a file
terminal/      what a person sees; `cli` parses and calls
sandbox/       both APIs on loopback; it imports nothing of the above
"""
