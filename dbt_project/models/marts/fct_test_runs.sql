{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[{'columns': ['test_run_key'], 'unique': true}],
        pre_hook="{{ delete_outdated_runs(
            all_runs=this,
            current=ref('int_test_runs'),
            version=['loaded_at', 'deleted_at', 'business_date', 'run_source', 'environment']
        ) }}",
    )
}}

with runs as (

    select *
    from {{ ref('int_test_runs') }} as runs
    where {{ run_is_not_held('runs') }}

),

-- Lateral: a few new runs are looked up by key and the history is left alone.
loaded_requests as (

    select
        runs.test_run_key,
        requests.*
    from runs
    cross join
        lateral (
            select
                count(*) as requests_total,
                count(*) filter (where not executions.is_answered) as requests_failed
            from {{ ref('stg_postman__executions') }} as executions
            where executions.run_id = runs.run_id
        ) as requests
    where runs.system = 'postman'

),

loaded_assertions as (

    select
        runs.test_run_key,
        assertions.*
    from runs
    cross join
        lateral (
            select
                count(*) as tests_total,
                count(*) filter (where results.outcome = 'passed') as tests_passed,
                count(*) filter (where results.outcome = 'failed') as tests_failed
            from {{ ref('stg_postman__assertions') }} as results
            where results.run_id = runs.run_id
        ) as assertions
    where runs.system = 'postman'

),

-- Testmo counts its tests itself: what it announces is all that there is.
counted as (

    select
        runs.*,
        loaded_requests.requests_total,
        loaded_requests.requests_failed,
        coalesce(loaded_assertions.tests_total, runs.tests_announced) as tests_total,
        coalesce(loaded_assertions.tests_passed, runs.tests_passed_announced) as tests_passed,
        coalesce(loaded_assertions.tests_failed, runs.tests_failed_announced) as tests_failed
    from runs
    left join loaded_requests
        on runs.test_run_key = loaded_requests.test_run_key
    left join loaded_assertions
        on runs.test_run_key = loaded_assertions.test_run_key

)

select
    test_run_key,
    system,
    run_id,
    collection_or_project_id,
    run_name,
    run_source,
    environment,
    {{
        test_run_status(
            'system',
            'source_status',
            'greatest('
            'tests_failed, tests_failed_announced, requests_failed, requests_failed_announced)'
        )
    }} as status,
    source_status,
    is_open,
    started_at,
    finished_at,
    business_date,
    duration_ms,
    requests_total,
    requests_failed,
    requests_announced,
    requests_failed_announced,
    tests_total,
    tests_passed,
    tests_failed,
    tests_total - tests_passed - tests_failed as tests_undecided,
    tests_passed / nullif(tests_passed + tests_failed, 0)::double precision as pass_rate,
    tests_announced,
    tests_failed_announced,
    loaded_at,
    deleted_at
from counted
