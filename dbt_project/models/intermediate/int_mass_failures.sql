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

-- the component of a whole run is null
begun as (

    select
        first_failed_run_key,
        component,
        count(distinct item_key) filter (where last_passed_at is not null) as items,
        count(*) filter (where last_passed_at is not null) as tests,
        percentile_cont(0.5) within group (order by failures) as median_failures
    from streaks
    group by grouping sets ((first_failed_run_key), (first_failed_run_key, component))
    having grouping(component) = 1 or component is not null

),

runs as not materialized (

    select
        test_run_key,
        suite_key,
        suite_run_number,
        greatest(tests_failed, 0) as tests_failed,
        coalesce(greatest(tests_passed, 0) + greatest(tests_failed, 0), 0) as tests_decided
    from {{ ref('int_test_run_statuses') }}
    where is_numbered

),

candidates as (

    select
        runs.*,
        begun.component,
        begun.items,
        begun.tests
    from begun
    inner join runs
        on begun.first_failed_run_key = runs.test_run_key
    where
        begun.median_failures <= {{ var('outage_runs_max') }}
        and greatest(begun.items, begun.tests) >= {{ var('outage_component_items') }}

),

-- A night of 180 tests is no outage for failing more often than the checks of 60 between nights.
compared as (

    select
        candidates.test_run_key,
        candidates.component,
        earlier.test_run_key as earlier_run_key
    from candidates
    cross join
        lateral (
            select runs.test_run_key
            from runs
            where
                runs.suite_key = candidates.suite_key
                and runs.suite_run_number < candidates.suite_run_number
                and runs.tests_decided >= {{ var('outage_comparable') }} * candidates.tests_decided
            order by runs.suite_run_number desc
            limit {{ var('outage_usual_runs') }}
        ) as earlier

),

usual as (

    select
        compared.test_run_key,
        compared.component,
        count(*) as runs,
        -- runs in which nothing began to fail have no row
        percentile_disc(0.25) within group (order by coalesce(begun.items, 0)) as items,
        percentile_disc(0.5) within group (order by coalesce(begun.items, 0)) as median_items
    from compared
    left join begun
        on
            compared.earlier_run_key = begun.first_failed_run_key
            and compared.component is not distinct from begun.component
    group by compared.test_run_key, compared.component

),

onsets as (

    select
        candidates.test_run_key,
        candidates.component
    from candidates
    inner join usual
        on
            candidates.test_run_key = usual.test_run_key
            and candidates.component is not distinct from usual.component
    where
        usual.runs >= {{ var('outage_min_runs') }}
        and (
            (
                candidates.component is null
                and candidates.tests >= {{ var('outage_items') }}
                and candidates.tests_failed
                >= {{ var('outage_share') }} * candidates.tests_decided
            )
            or (
                candidates.items >= case
                    when candidates.component is null then {{ var('outage_items') }}
                    else {{ var('outage_component_items') }}
                end
                and candidates.items > {{ var('outage_ratio') }} * usual.items
                and candidates.items > {{ var('outage_median_ratio') }} * usual.median_items
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
