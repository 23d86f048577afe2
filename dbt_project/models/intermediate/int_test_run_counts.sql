-- The rows below each Postman run, counted once: all that a night has to read of its new runs. Runs
-- that are deleted at the source stay, and are ready should they return.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[{'columns': ['test_run_key'], 'unique': true}],
        pre_hook="{{ delete_outdated_runs(
            all_runs=this,
            current=ref('stg_postman__collection_runs'),
            version=['loaded_at']
        ) }}",
    )
}}

with runs as (

    select
        test_run_key,
        run_id,
        loaded_at
    from {{ ref('stg_postman__collection_runs') }} as runs
    where {{ run_is_not_held('runs') }}

),

-- Lateral: a few new runs are looked up by key and the history is left alone.
requests as (

    select
        runs.*,
        sent.*
    from runs
    cross join
        lateral (
            select
                count(*) filter (where not executions.is_repeat) as requests_total,
                count(*) filter (where executions.is_repeat) as requests_repeated,
                count(*) filter (where not executions.is_repeat and not executions.is_answered)
                    as requests_failed,
                coalesce(
                    sum(executions.script_errors) filter (where not executions.is_repeat), 0
                )::bigint as script_errors,
                array_agg(executions.execution_index) filter (where executions.is_repeat)
                    as repeats
            from {{ ref('int_request_executions') }} as executions
            where executions.run_id = runs.run_id
        ) as sent

)

select
    requests.test_run_key,
    requests.requests_total,
    requests.requests_repeated,
    requests.requests_failed,
    requests.script_errors,
    assertions.*,
    requests.loaded_at
from requests
cross join
    lateral (
        select
            count(*) filter (where repeats.execution_index is null) as tests_total,
            count(*) filter (where repeats.execution_index is not null) as tests_repeated,
            count(*) filter (
                where repeats.execution_index is null and results.outcome = 'passed'
            ) as tests_passed,
            count(*) filter (
                where repeats.execution_index is null and results.outcome = 'failed'
            ) as tests_failed,
            count(*) filter (
                where repeats.execution_index is null and results.outcome = 'skipped'
            ) as tests_skipped,
            count(*) filter (
                where repeats.execution_index is null and results.outcome = 'unknown'
            ) as tests_untested
        from {{ ref('stg_postman__assertions') }} as results
        left join unnest(requests.repeats) as repeats (execution_index)
            on results.execution_index = repeats.execution_index
        where results.run_id = requests.run_id
    ) as assertions
