-- Streaks of failures that have one cause: in the run in which they began, far more tests began to
-- fail than usual. What begins to fail is counted, and not what fails: tests that are broken anyway
-- make no run an outage, and hide none.
-- A table: int_outage_streaks reads it three times, and it looks at every streak that there is.
{{ config(materialized='table') }}
{%- set z -%}
    case
        when candidates.component is null then {{ var('outage_z') }}
        else {{ var('outage_component_z') }}
    end
{%- endset %}
{%- set are_comparable -%}
    coalesce(
        runs.tests_decided >= {{ var('outage_comparable') }} * candidates.tests_decided,
        candidates.tests_decided is null
    )
{%- endset %}

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
        -- null where a run announces no counts: then it is no part of anything
        nullif(greatest(tests_passed, 0) + greatest(tests_failed, 0), 0) as tests_decided
    from {{ ref('int_test_run_statuses') }}
    where is_numbered

),

suites as (

    select
        suite_key,
        count(*) as runs
    from runs
    group by suite_key

),

-- How many items of a component begin to fail in a run, on average of all runs of the suite.
components_of_suites as (

    select
        runs.suite_key,
        begun.component,
        sum(begun.items) / max(suites.runs) as mean_items
    from begun
    inner join runs
        on begun.first_failed_run_key = runs.test_run_key
    inner join suites
        on runs.suite_key = suites.suite_key
    where begun.component is not null
    group by runs.suite_key, begun.component

),

candidates as (

    select
        runs.*,
        begun.component,
        begun.items,
        -- what a run of which hardly anything failed before goes beyond
        {{ var('outage_part') }} * runs.tests_decided as part_of_run,
        coalesce(
            begun.items >= {{ var('outage_items') }}
            or begun.items >= {{ var('outage_part') }} * runs.tests_decided,
            false
        ) as are_many,
        coalesce(components_of_suites.mean_items <= {{ var('outage_pair_usual') }}, false)
            as are_rare
    from begun
    inner join runs
        on begun.first_failed_run_key = runs.test_run_key
    left join components_of_suites
        on
            runs.suite_key = components_of_suites.suite_key
            and begun.component = components_of_suites.component
    where begun.median_failures <= {{ var('outage_runs_max') }} and begun.items >= 2

),

-- A night of 180 tests is no outage for failing more often than the checks of 60 between nights.
-- The first runs of a suite have none before them, and are compared with those that followed.
compared as (

    select
        candidates.test_run_key,
        candidates.component,
        other.test_run_key as other_run_key
    from candidates
    cross join
        lateral (
            (
                select runs.test_run_key
                from runs
                where
                    candidates.suite_run_number > {{ var('outage_min_runs') }}
                    and runs.suite_key = candidates.suite_key
                    and runs.suite_run_number < candidates.suite_run_number
                    and {{ are_comparable }}
                order by runs.suite_run_number desc
                limit {{ var('outage_usual_runs') }}
            )
            union all
            (
                select runs.test_run_key
                from runs
                where
                    candidates.suite_run_number <= {{ var('outage_min_runs') }}
                    and runs.suite_key = candidates.suite_key
                    and runs.suite_run_number != candidates.suite_run_number
                    and {{ are_comparable }}
                order by runs.suite_run_number
                limit {{ var('outage_usual_runs') }}
            )
        ) as other
    where
        -- no fewer are more than usual, whatever is
        candidates.items > least({{ z }}, candidates.part_of_run)
        or candidates.suite_run_number <= {{ var('outage_min_runs') }}

),

usual as (

    select
        compared.test_run_key,
        compared.component,
        count(*) as runs,
        -- runs in which nothing began to fail have no row
        percentile_disc(0.5) within group (order by coalesce(begun.items, 0)) as items
    from compared
    left join begun
        on
            compared.other_run_key = begun.first_failed_run_key
            and compared.component is not distinct from begun.component
    group by compared.test_run_key, compared.component

),

-- What may have failed as a whole: with runs to compare it with, and not two items by chance.
comparable as (

    select
        candidates.*,
        usual.runs >= {{ var('outage_min_runs') }}
        and candidates.items
        > usual.items + least({{ z }} * sqrt(usual.items + 1), candidates.part_of_run)
            as are_unusual,
        (
            candidates.suite_run_number > {{ var('outage_min_runs') }}
            or usual.runs >= {{ var('outage_min_runs') }}
        )
        and (candidates.are_many or candidates.are_rare) as may_be_all
    from candidates
    left join usual
        on
            candidates.test_run_key = usual.test_run_key
            and candidates.component is not distinct from usual.component

),

-- Looked up run by run: candidates are few, and the history of results is long.
components as (

    select
        looked_at.test_run_key,
        results.*
    from (
        select distinct test_run_key
        from comparable
        where component is not null and may_be_all
    ) as looked_at
    cross join
        -- counted in here, or the planner joins, and scans the history
        lateral (
            select
                of_run.component,
                count(*) filter (where of_run.is_failed) as tests_failed,
                count(*) as tests_decided
            from {{ ref('int_test_results') }} as of_run
            where
                of_run.test_run_key = looked_at.test_run_key
                and of_run.is_outcome
                and of_run.is_decided
            group by of_run.component
        ) as results

),

onsets as (

    select
        comparable.test_run_key,
        comparable.component
    from comparable
    left join components
        on
            comparable.test_run_key = components.test_run_key
            and comparable.component = components.component
    where
        (comparable.are_unusual and comparable.are_many)
        or (
            comparable.may_be_all
            and case
                when comparable.component is null
                    then
                        comparable.tests_failed
                        >= {{ var('outage_share') }} * comparable.tests_decided
                else
                    components.tests_failed
                    >= {{ var('outage_share') }} * components.tests_decided
            end
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
