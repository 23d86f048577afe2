-- A table with an index, so that views over all runs say which is the latest at no cost to whoever
-- ask for a day.
{{ config(materialized='table', indexes=[{'columns': ['test_run_key'], 'unique': true}]) }}

select distinct on (suite_key)
    test_run_key,
    suite_key
from {{ ref('int_test_run_statuses') }}
where started_at is not null and is_future_dated is not true
order by suite_key asc, started_at desc, test_run_key desc
