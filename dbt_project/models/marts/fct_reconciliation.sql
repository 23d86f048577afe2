with reconciliations as (

    select * from {{ ref('stg_ingest__reconciliations') }}

),

-- runs that have left the marts have nothing to explain
runs as (

    select * from {{ ref('fct_test_runs') }}

)

select
    runs.test_run_key,
    reconciliations.total_name,
    runs.system,
    runs.run_id,
    runs.collection_or_project_id,
    runs.status,
    runs.started_at,
    runs.business_date,
    reconciliations.rows_announced,
    reconciliations.rows_loaded,
    reconciliations.rows_loaded - reconciliations.rows_announced as difference,
    reconciliations.rows_repeated,
    reconciliations.reason,
    reconciliations.reason in ('repeated', 'open') as is_explained,
    reconciliations.load_id,
    reconciliations.checked_at
from reconciliations
inner join runs
    on reconciliations.test_run_key = runs.test_run_key
