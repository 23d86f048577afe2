"""The warehouse, a Postgres database: how it is reached, built up, written to and remembered.

Three schemas are ours. `raw_postman` and `raw_testmo` hold what the two APIs said, one table for
each kind of record under its API's own name; `ingest` holds how far each load has come, what each
load did, and which records could not be read. dbt makes `staging` and `marts` from them.
"""
