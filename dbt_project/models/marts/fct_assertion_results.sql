{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {
                'columns': ['test_run_key', 'execution_index', 'assertion_index'],
                'unique': true,
            }
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
        and runs.tests_total > 0
        and {{ run_is_not_held('runs') }}

)

select
    runs.test_run_key,
    results.execution_index,
    results.assertion_index,
    runs.collection_or_project_id as collection_id,
    runs.environment_id,
    runs.run_source,
    results.request_key,
    runs.item_ids_recur,
    results.item_name,
    results.is_repeat,
    results.assertion_name,
    results.outcome,
    results.error_message,
    runs.started_at as run_started_at,
    runs.business_date,
    runs.loaded_at
from runs
cross join
    -- sorted run by run, and so looked up by key: one new run must not cost a scan of all history
    lateral (
        select
            assertions.*,
            executions.item_name,
            executions.request_key,
            executions.is_repeat
        from {{ ref('stg_postman__assertions') }} as assertions
        inner join {{ ref('fct_request_executions') }} as executions
            on
                runs.test_run_key = executions.test_run_key
                and assertions.execution_index = executions.execution_index
        where assertions.run_id = runs.run_id
        order by assertions.execution_index, assertions.assertion_index
    ) as results
