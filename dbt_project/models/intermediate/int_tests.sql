{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[{'columns': ['test_key'], 'unique': true}],
        pre_hook="{{ delete_changed_keys('test_key') }}",
        post_hook="{{ forget_test_changes(ref('int_test_changes')) }}",
    )
}}

-- depends_on: {{ ref('int_test_changes') }}

with tests as (

    {{ keys_to_build('test_key') }}

),

-- By index, a test at a time: its first and last result, not all between them.
seen as (

    select
        tests.test_key,
        first_result.run_started_at as first_seen_at,
        first_result.business_date as first_seen_date,
        not_started.results_not_started,
        last_result.*
    from tests
    cross join
        lateral (
            select
                results.system,
                results.collection_or_project_id,
                results.request_key,
                results.test_run_key as last_test_run_key,
                results.execution_index,
                results.assertion_index,
                results.automation_test_id,
                results.test_index,
                results.run_started_at as last_seen_at,
                case when results.run_started_at is not null then results.business_date end
                    as last_seen_date
            from {{ ref('int_test_results') }} as results
            where results.test_key = tests.test_key
            order by
                results.run_started_at desc nulls last,
                results.run_sort_key desc,
                results.result_number desc
            limit 1
        ) as last_result
    left join
        lateral (
            select
                results.run_started_at,
                results.business_date
            from {{ ref('int_test_results') }} as results
            where results.test_key = tests.test_key and results.run_started_at is not null
            order by results.run_started_at asc nulls first
            limit 1
        ) as first_result
        on true
    cross join
        lateral (
            select count(*) as results_not_started
            from {{ ref('int_test_results') }} as results
            where results.test_key = tests.test_key and results.run_started_at is null
        ) as not_started

)

select
    seen.test_key,
    seen.system,
    seen.collection_or_project_id,
    seen.request_key,
    assertions.assertion_name,
    testmo_tests.automation_case_id,
    testmo_tests.automation_source_id,
    coalesce(testmo_tests.test_folder, reports_tests.test_folder) as test_folder,
    reports_tests.class_name,
    coalesce(testmo_tests.test_name, reports_tests.test_name) as test_name,
    seen.first_seen_at,
    seen.last_seen_at,
    seen.first_seen_date,
    seen.last_seen_date,
    seen.last_test_run_key,
    seen.results_not_started
from seen
inner join {{ ref('int_test_run_statuses') }} as runs
    on seen.last_test_run_key = runs.test_run_key
-- what it is called, by key: a join would scan all requests and assertions for one night's tests
left join
    lateral (
        select named.assertion_name
        from {{ ref('stg_postman__assertions') }} as named
        where
            runs.system = 'postman'
            and named.run_id = runs.run_id
            and named.execution_index = seen.execution_index
            and named.assertion_index = seen.assertion_index
        order by named.assertion_index
        limit 1
    ) as assertions
    on true
left join
    lateral (
        select
            named.automation_case_id,
            named.test_folder,
            named.test_name,
            reported.automation_source_id
        from {{ ref('stg_testmo__automation_runs') }} as reported
        inner join {{ ref('stg_testmo__automation_run_tests') }} as named
            on reported.run_id = named.run_id
        where
            reported.run_id = case when runs.system = 'testmo' then runs.run_id::bigint end
            and named.automation_test_id = seen.automation_test_id
        order by named.automation_test_id
        limit 1
    ) as testmo_tests
    on true
left join
    lateral (
        select
            named.test_folder,
            named.class_name,
            named.test_name
        from {{ ref('stg_reports__tests') }} as named
        where
            runs.system = 'reports'
            and named.run_id = runs.run_id
            and named.test_index = seen.test_index
        order by named.test_index
        limit 1
    ) as reports_tests
    on true
