{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {'columns': ['test_run_key', 'execution_index'], 'unique': true},
            {'columns': ['request_key', 'business_date']},
        ],
        pre_hook="{{ delete_outdated_runs(
            all_runs=loose_index_scan(this, 'test_run_key'),
            current=ref('int_test_run_statuses'),
            version=['loaded_at', 'business_date', 'environment_id', 'item_ids_recur']
        ) }}",
    )
}}

with runs as (

    select runs.*
    from {{ ref('int_test_run_statuses') }} as runs
    where
        runs.system = 'postman'
        and runs.requests_total > 0
        and {{ run_is_not_held('runs') }}

)

select
    runs.test_run_key,
    executions.execution_index,
    executions.execution_id,
    runs.collection_or_project_id as collection_id,
    runs.environment_id,
    runs.run_source,
    executions.iteration,
    executions.item_name,
    executions.item_occurrence,
    executions.request_key,
    runs.item_ids_recur,
    executions.is_repeat,
    executions.request_method,
    executions.request_url,
    executions.request_host,
    executions.is_answered,
    executions.response_status_code,
    executions.response_time_ms,
    -- what enters a latency
    case
        when
            executions.is_answered
            and not executions.is_repeat
            and executions.response_time_ms >= 0
            then executions.response_time_ms
    end as latency_ms,
    executions.response_size_bytes,
    executions.script_errors,
    runs.started_at as run_started_at,
    runs.business_date,
    runs.loaded_at
from runs
cross join
    -- sorted run by run, and so looked up by key: one new run must not cost a scan of all history
    lateral (
        select sent.*
        from {{ ref('int_request_executions') }} as sent
        where sent.test_run_key = runs.test_run_key
        order by sent.execution_index
    ) as executions
