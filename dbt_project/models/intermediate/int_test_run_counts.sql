-- The rows below each run, counted once: all that a night has to read of its new runs. Runs that
-- are deleted at the source stay, and are ready should they return. Testmo counts its tests itself.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[{'columns': ['test_run_key'], 'unique': true}],
        pre_hook="{{ delete_outdated_runs(
            all_runs=this,
            current=counted_runs(),
            version=['loaded_at']
        ) }}",
    )
}}

with runs as (

    select runs.*
    from {{ counted_runs() }} as runs
    where {{ run_is_not_held('runs') }}

),

-- Lateral: a few new runs are looked up by key and the history is left alone.
repeats as (

    select
        runs.*,
        repeated.executions as repeated_executions
    from runs
    cross join
        lateral (
            select coalesce(jsonb_agg(found.execution_index), '[]') as executions
            from ingest.repeated_executions(runs.run_id) as found
        ) as repeated
    where runs.system = 'postman'

),

requests as (

    select
        repeats.*,
        sent.*
    from repeats
    cross join
        lateral (  -- noqa: ST05
            with executions as (
                select
                    rows_of_run.*,
                    repeats.repeated_executions @> to_jsonb(rows_of_run.execution_index)
                        as is_repeat
                from {{ ref('stg_postman__executions') }} as rows_of_run
                where rows_of_run.run_id = repeats.run_id
            )

            select
                count(*) filter (where not executions.is_repeat) as requests_total,
                count(*) filter (where executions.is_repeat) as requests_repeated,
                count(*) filter (where not executions.is_repeat and not executions.is_answered)
                    as requests_failed,
                coalesce(
                    sum(executions.script_errors) filter (where not executions.is_repeat), 0
                )::bigint as script_errors
            from executions
        ) as sent

)

select
    requests.test_run_key,
    requests.requests_total,
    requests.requests_repeated,
    requests.requests_failed,
    requests.script_errors,
    requests.repeated_executions,
    items.item_ids,
    assertions.tests_total,
    assertions.tests_repeated,
    assertions.tests_passed,
    assertions.tests_failed,
    assertions.tests_skipped,
    assertions.tests_untested,
    requests.loaded_at
from requests
cross join
    -- digests of IDs, the smallest {{ var('compared_items') }}: enough to see whether two runs
    -- have any in common, and little to keep
    lateral (  -- noqa: ST05
        with smallest as (
            select distinct left(md5(executions.execution_id), 16) as item_id
            from {{ ref('stg_postman__executions') }} as executions
            where
                executions.run_id = requests.run_id
                and executions.execution_id is not null
            order by item_id
            limit {{ var('compared_items') }}
        )

        select coalesce(jsonb_agg(smallest.item_id order by smallest.item_id), '[]') as item_ids
        from smallest
    ) as items
cross join
    lateral (  -- noqa: ST05
        with results as (
            select
                rows_of_run.*,
                requests.repeated_executions @> to_jsonb(rows_of_run.execution_index) as is_repeat
            from {{ ref('stg_postman__assertions') }} as rows_of_run
            where rows_of_run.run_id = requests.run_id
        )

        select
            count(*) filter (where not results.is_repeat) as tests_total,
            count(*) filter (where results.is_repeat) as tests_repeated,
            count(*) filter (where not results.is_repeat and results.outcome = 'passed')
                as tests_passed,
            count(*) filter (where not results.is_repeat and results.outcome = 'failed')
                as tests_failed,
            count(*) filter (where not results.is_repeat and results.outcome = 'skipped')
                as tests_skipped,
            count(*) filter (where not results.is_repeat and results.outcome = 'unknown')
                as tests_untested
        from results
    ) as assertions
union all
select
    runs.test_run_key,
    null as requests_total,
    null as requests_repeated,
    null as requests_failed,
    null as script_errors,
    null as repeated_executions,
    null as item_ids,
    tests.tests_total,
    0 as tests_repeated,
    tests.tests_passed,
    tests.tests_failed,
    tests.tests_skipped,
    0 as tests_untested,
    runs.loaded_at
from runs
cross join
    lateral (
        select
            count(*) as tests_total,
            count(*) filter (where results.outcome = 'passed') as tests_passed,
            count(*) filter (where results.outcome in ('failed', 'errored')) as tests_failed,
            count(*) filter (where results.outcome in ('skipped', 'neutral')) as tests_skipped
        from {{ ref('stg_reports__tests') }} as results
        where results.run_id = runs.run_id
    ) as tests
where runs.system = 'reports'
