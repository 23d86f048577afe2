-- Detects: runs that start more than a day from now.
-- Usually means: the clock of a CI machine is wrong, or an API sent local time as UTC. The run then
-- stands on the wrong day in every mart.
-- Returns: a row a run. A warning: what the source says is kept, not mended.
{{ config(severity='warn') }}

select
    test_run_key,
    started_at
from {{ ref('fct_test_runs') }}
where started_at > now() + interval '1 day'
