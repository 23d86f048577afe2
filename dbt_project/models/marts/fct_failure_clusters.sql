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
                results.assertion_index
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
    {{ normalised_failure('assertions.error_message') }} as normalised_message,
    clusters.failures,
    clusters.failures_not_started,
    clusters.tests,
    clusters.first_seen_at,
    clusters.last_seen_at,
    clusters.last_seen_date,
    left(assertions.error_message, {{ var('failure_message_characters') }}) as example_message,
    examples.test_run_key as example_run_key,
    examples.test_key as example_test_key
from clusters
inner join examples
    on clusters.failure_key = examples.failure_key
-- Testmo tells no message: there nothing is found
left join
    lateral (
        select told.error_message
        from {{ ref('stg_postman__assertions') }} as told
        where
            told.run_id = examples.run_id
            and told.execution_index = examples.execution_index
            and told.assertion_index = examples.assertion_index
        order by told.assertion_index
        limit 1
    ) as assertions
    on true
