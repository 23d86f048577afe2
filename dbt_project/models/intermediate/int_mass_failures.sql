-- Streaks of failures that have one cause: in the run in which they began, far more tests began to
-- fail than usual. What begins to fail is counted, and not what fails: tests that are broken anyway
-- make no run an outage, and hide none.
with runs as (

    select
        runs.test_run_key,
        runs.suite_key,
        greatest(runs.tests_passed, 0) as tests_passed,
        greatest(runs.tests_failed, 0) as tests_failed,
        row_number() over (
            partition by runs.suite_key order by runs.started_at, {{ run_sort_key('runs') }}
        ) as run_number
    from {{ ref('int_test_run_statuses') }} as runs
    where runs.started_at is not null and runs.is_future_dated is not true

),

streaks as (

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

whole_runs as (

    select
        runs.*,
        coalesce(begun.items, 0) as items,
        coalesce(begun.tests, 0) as tests,
        begun.median_failures,
        array_agg(coalesce(begun.items, 0)) over (
            partition by runs.suite_key
            order by runs.run_number
            rows between {{ var('outage_usual_runs') }} preceding and 1 preceding
        ) as items_before
    from runs
    left join begun
        on runs.test_run_key = begun.first_failed_run_key and begun.is_whole_run

),

components as (

    select
        runs.test_run_key,
        runs.run_number,
        begun.component,
        begun.items,
        begun.median_failures,
        array_agg(begun.items) over (
            partition by runs.suite_key, begun.component
            order by runs.run_number
            range between {{ var('outage_usual_runs') }} preceding and 1 preceding
        ) as items_before
    from runs
    inner join begun
        on runs.test_run_key = begun.first_failed_run_key
    where not begun.is_whole_run and begun.component is not null

),

candidates as (

    select
        test_run_key,
        null as component,
        items,
        tests,
        tests_failed >= {{ var('outage_share') }} * (tests_passed + tests_failed) as is_nearly_all,
        items_before,
        {{ var('outage_items') }} as items_least
    from whole_runs
    where
        run_number > {{ var('outage_min_runs') }}
        and greatest(items, tests) >= {{ var('outage_items') }}
        and median_failures <= {{ var('outage_runs_max') }}
    union all
    select
        test_run_key,
        component,
        items,
        0 as tests,
        false as is_nearly_all,
        -- runs in which nothing of the component began to fail have no row
        array_fill(
            0::bigint,
            array[
                (
                    least(run_number - 1, {{ var('outage_usual_runs') }})
                    - coalesce(cardinality(items_before), 0)
                )::integer
            ]
        ) || coalesce(items_before, '{}') as items_before,
        {{ var('outage_component_items') }} as items_least
    from components
    where
        run_number > {{ var('outage_min_runs') }}
        and items >= {{ var('outage_component_items') }}
        and median_failures <= {{ var('outage_runs_max') }}

),

onsets as (

    select
        test_run_key,
        component
    from candidates
    where
        (tests >= {{ var('outage_items') }} and is_nearly_all)
        or (
            items >= items_least
            and items > {{ var('outage_ratio') }} * (
                select percentile_disc(0.25) within group (order by usual.items)
                from unnest(candidates.items_before) as usual (items)
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
