-- Streaks of failures that have one cause: in the run in which they began, far more tests began to
-- fail than usual. What begins to fail is counted, and not what fails: tests that are broken anyway
-- make no run an outage, and hide none.
-- A table: int_outage_streaks reads it three times, and it looks at every streak that there is.
{{ config(materialized='table') }}

with streaks as (

    select
        *,
        -- a request that fails with all its assertions fails once
        coalesce(request_key, test_key) as item_key
    from {{ ref('int_failure_streaks') }}

),

begun as (

    select
        first_failed_run_key,
        component,
        grouping(component) = 1 as is_whole_run,
        count(distinct item_key) filter (where last_passed_at is not null) as items,
        count(*) filter (where last_passed_at is not null) as tests,
        percentile_cont(0.5) within group (order by failures) as median_failures
    from streaks
    group by grouping sets ((first_failed_run_key), (first_failed_run_key, component))

),

numbered as (

    select
        runs.test_run_key,
        begun.component,
        begun.is_whole_run,
        begun.items,
        begun.tests,
        begun.median_failures,
        runs.suite_run_number - 1 as runs_before,
        greatest(runs.tests_failed, 0) as tests_failed,
        greatest(runs.tests_passed, 0) + greatest(runs.tests_failed, 0) as tests_decided,
        array_agg(begun.items) over (
            partition by runs.suite_key, begun.is_whole_run, begun.component
            order by runs.suite_run_number
            range between {{ var('outage_usual_runs') }} preceding and 1 preceding
        ) as items_before
    from begun
    inner join {{ ref('int_test_run_statuses') }} as runs
        on begun.first_failed_run_key = runs.test_run_key
    where runs.is_numbered and (begun.is_whole_run or begun.component is not null)

),

candidates as (

    select
        *,
        -- runs in which nothing began to fail have no row
        array_fill(
            0::bigint,
            array[
                (
                    least(runs_before, {{ var('outage_usual_runs') }})
                    - coalesce(cardinality(items_before), 0)
                )::integer
            ]
        ) || coalesce(items_before, '{}') as items_before_in_all
    from numbered
    where
        runs_before >= {{ var('outage_min_runs') }}
        and median_failures <= {{ var('outage_runs_max') }}
        and greatest(items, tests) >= {{ var('outage_component_items') }}

),

onsets as (

    select
        test_run_key,
        component
    from candidates
    where
        (
            is_whole_run
            and tests >= {{ var('outage_items') }}
            and tests_failed >= {{ var('outage_share') }} * tests_decided
        )
        or (
            items >= case
                when is_whole_run then {{ var('outage_items') }}
                else {{ var('outage_component_items') }}
            end
            and items > {{ var('outage_ratio') }} * (
                select percentile_disc(0.25) within group (order by usual.items)
                from unnest(candidates.items_before_in_all) as usual (items)
            )
        )

)

-- a run that is an outage as a whole is not one in its components too
select distinct on (streaks.test_environment_key, streaks.first_failed_run_key)
    streaks.test_environment_key,
    streaks.first_failed_run_key,
    streaks.first_failed_date,
    streaks.failures,
    streaks.recovered_run_key,
    {{ surrogate_key(['onsets.test_run_key', 'onsets.component']) }} as outage_key
from onsets
inner join streaks
    on
        onsets.test_run_key = streaks.first_failed_run_key
        and (onsets.component is null or onsets.component = streaks.component)
order by
    streaks.test_environment_key, streaks.first_failed_run_key, onsets.component nulls first
