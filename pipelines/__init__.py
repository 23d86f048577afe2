"""From two run histories to a Postgres warehouse; read it in the order in which the data flows.

settings                            what is asked for
http/                               one polite request, decoded; when it may go, for all machines
postman/  testmo/                   api (fetch) → walk (which runs) → rows (flatten)
fields  redact                      one value at a time
warehouse/                          connect, schema, merge (COPY), ledger (watermarks, loads)
scope  load  backfill  retry        all of it in order, for each scope
transform  nightly                  dbt; both under Dagster
orchestration/  definitions         what Dagster loads: assets, checks, days, alerts
report/                             the marts as one HTML page
cli  status  summary  demo  dev     what a person types and sees
sandbox/                            both APIs on loopback
"""
