{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[{'columns': ['failure_key'], 'unique': true}],
        pre_hook="{{ delete_changed_keys('failure_key') }}",
        post_hook="{{ forget_test_changes(ref('int_test_changes')) }}",
    )
}}

-- depends_on: {{ ref('int_test_changes') }}

with keys as (

    {{ keys_to_build('failure_key') }}

),

-- Looked up failure by failure, by index: of the results that passed none is read.
clusters as (

    select
        keys.failure_key,
        counted.*
    from keys
    cross join
        lateral (
            select
                count(*) as failures,
                count(*) filter (where results.run_started_at is null) as failures_not_started,
                count(distinct results.test_key) as tests,
                min(results.run_started_at) as first_seen_at,
                max(results.run_started_at) as last_seen_at,
                max(results.business_date) filter (where results.run_started_at is not null)
                    as last_seen_date
            from {{ ref('int_test_results') }} as results
            where results.failure_key = keys.failure_key
        ) as counted
    -- of a failure that is gone altogether nothing is left to tell
    where counted.failures > 0

),

examples as (

    select
        clusters.failure_key,
        runs.run_id,
        latest.*
    from clusters
    cross join
        lateral (
            select
                results.test_run_key,
                results.test_key,
                results.execution_index,
                results.assertion_index,
                results.automation_test_id,
                results.test_index
            from {{ ref('int_test_results') }} as results
            where results.failure_key = clusters.failure_key
            order by
                results.run_started_at desc nulls last,
                results.run_sort_key desc,
                results.result_number desc
            limit 1
        ) as latest
    inner join {{ ref('fct_test_runs') }} as runs
        on latest.test_run_key = runs.test_run_key

)

select
    clusters.failure_key,
    {{ normalised_failure('named.error_message', 'named.test_name') }} as normalised_message,
    {{ normalised_name('named.test_name') }} as normalised_name,
    clusters.failures,
    clusters.failures_not_started,
    clusters.tests,
    clusters.first_seen_at,
    clusters.last_seen_at,
    clusters.last_seen_date,
    left(named.error_message, {{ var('failure_message_characters') }}) as example_message,
    examples.test_run_key as example_run_key,
    examples.test_key as example_test_key
from clusters
inner join examples
    on clusters.failure_key = examples.failure_key
-- what failed and with which message, by key; Testmo gives no message
left join
    lateral (
        select
            asserted.assertion_name as test_name,
            asserted.error_message
        from {{ ref('stg_postman__assertions') }} as asserted
        where
            asserted.run_id = examples.run_id
            and asserted.execution_index = examples.execution_index
            and asserted.assertion_index = examples.assertion_index
        union all
        select
            reported.test_name,
            null as error_message
        from {{ ref('stg_testmo__automation_run_tests') }} as reported
        where
            reported.run_id
            = (case when examples.automation_test_id is not null then examples.run_id end)::bigint
            and reported.automation_test_id = examples.automation_test_id
        union all
        select
            tested.test_name,
            tested.failure_message as error_message
        from {{ ref('stg_reports__tests') }} as tested
        where
            tested.run_id = examples.run_id
            and tested.test_index = examples.test_index
    ) as named
    on true
