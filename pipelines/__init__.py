"""From two run histories to a Postgres warehouse; read it in the order in which the data flows.

settings  client  pace              what is asked for, and how politely
postman/  testmo/                   api (fetch) → walk (which runs) → rows (flatten)
fields  redact                      one value at a time
warehouse/                          connect, schema, merge (COPY), ledger (watermarks, loads)
load                                all of it in order, for each scope
transform  nightly                  dbt; both under Dagster
assets  definitions                 what Dagster loads
cli  status  summary  demo  dev     what a person types and sees
sandbox/                            both APIs on loopback
"""
