{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {'columns': ['test_environment_key', 'business_date'], 'unique': true},
            {'columns': ['test_key', 'business_date']},
            {'columns': ['business_date']},
        ],
        pre_hook="{{ delete_changed_rows('held.business_date >= changed.changed_from') }}",
        post_hook="{{ forget_test_changes(ref('int_test_changes')) }}",
    )
}}
{#- whole numbers, also where --vars tells them as text -#}
{%- set recent = var('flakiness_recent_window') | int(50) -%}
{%- set long = var('flakiness_long_window') | int(50) -%}
{%- set minimum = var('minimum_results') | int(50) -%}
{%- set broken_after = var('broken_after') | int(50) -%}
{%- set figures = [
    'recent_results', 'recent_passed', 'recent_broken', 'recent_transitions',
    'long_results', 'long_passed', 'long_transitions',
] -%}
{%- if not (2 <= recent and [minimum, recent + broken_after] | max <= long) and flags.WHICH -%}
    {{ exceptions.raise_compiler_error(
        'flakiness_long_window must be at least minimum_results and at least'
        ' flakiness_recent_window (2 or more) + broken_after'
    ) }}
{%- endif %}

-- depends_on: {{ ref('int_test_changes') }}

with
{% if is_incremental() %}
    changed as materialized (

        {{ changed_tests() }}

    ),

    -- What changed and all that follows; before it, no more than a window sees. Sorted test by
    -- test, and so looked up by key: one night must not cost a scan of all history.
    read as (

        select
            later.*,
            true as is_changed
        from changed
        cross join
            lateral (
                select results.*
                from {{ ref('int_test_results') }} as results
                where
                    results.test_environment_key = changed.test_environment_key
                    and results.is_decided in (true, false)
                    and results.business_date >= changed.changed_from
                    and results.run_started_at is not null
                order by results.business_date
            ) as later
        union all
        select
            earlier.*,
            false as is_changed
        from changed
        cross join
            lateral (
                select results.*
                from {{ ref('int_test_results') }} as results
                where
                    results.test_environment_key = changed.test_environment_key
                    and results.is_decided
                    and results.business_date < changed.changed_from
                    and results.run_started_at is not null
                order by
                    results.business_date desc,
                    results.run_started_at desc,
                    results.run_sort_key desc,
                    results.result_number desc
                limit {{ long }}
            ) as earlier

    ),
{% else %}
    read as (

        select
            *,
            true as is_changed
        from {{ ref('int_test_results') }}
        where run_started_at is not null

    ),
{% endif %}

results as (

    select
        test_environment_key,
        business_date,
        run_started_at,
        run_sort_key,
        result_number,
        is_decided,
        outcome = 'passed' as is_passed,
        is_changed
    from read

),

-- Undecided results have partitions of their own: no window of decided ones sees them.
compared as (

    select
        *,
        row_number() over in_order as number_in_order,
        (is_passed != lag(is_passed) over in_order)::integer as is_transition,
        count(*) filter (where not is_passed) over last_results = {{ broken_after }} as is_broken,
        coalesce(lead(business_date) over in_order != business_date, true) as ends_day
    from results
    window
        in_order as (
            partition by test_environment_key, is_decided
            order by run_started_at, run_sort_key, result_number
        ),
        last_results as (in_order rows between {{ broken_after - 1 }} preceding and current row)

),

windowed as (

    select
        *,
        is_decided and ends_day as is_as_of_day,
        max(number_in_order) filter (where is_passed) over in_order as last_pass,
        count(*) over recent_results as recent_results,
        count(*) filter (where is_passed) over recent_results as recent_passed,
        count(*) filter (where is_broken) over recent_results as recent_broken,
        sum(is_transition) over recent_pairs as recent_transitions,
        count(*) over long_results as long_results,
        count(*) filter (where is_passed) over long_results as long_passed,
        sum(is_transition) over long_pairs as long_transitions
    from compared
    window
        in_order as (
            partition by test_environment_key, is_decided
            order by run_started_at, run_sort_key, result_number
        ),
        recent_results as (in_order rows between {{ recent - 1 }} preceding and current row),
        -- n results make n - 1 pairs: how the first one differs from its forerunner is not asked
        recent_pairs as (in_order rows between {{ recent - 2 }} preceding and current row),
        long_results as (in_order rows between {{ long - 1 }} preceding and current row),
        long_pairs as (in_order rows between {{ long - 2 }} preceding and current row)

),

days as (

    select
        test_environment_key,
        business_date,
        bool_or(is_changed) as is_changed,
        count(*) as results_total,
        count(*) filter (where is_decided and is_passed) as results_passed,
        count(*) filter (where is_decided and not is_passed) as results_failed,
        {% for figure in figures %}
            max({{ figure }}) filter (where is_as_of_day) as {{ figure }},
        {% endfor %}
        -- how far back the last pass lies, but no further than the window
        max(least(number_in_order - coalesce(last_pass, 0), long_results))
        filter (where is_as_of_day) as failures_in_a_row,
        max(business_date) filter (where is_as_of_day) as decided_date
    from windowed
    group by test_environment_key, business_date

),

-- A day without a decided result stands as the last one before it that had any.
stood as (

    select
        *,
        max(decided_date) over (
            partition by test_environment_key order by business_date
        ) as stands_as_of
    from days

),

counted as (

    select
        stood.test_environment_key,
        stood.business_date,
        stood.results_total::integer as results_total,
        stood.results_passed::integer as results_passed,
        stood.results_failed::integer as results_failed,
        {% for figure in figures %}
            coalesce(as_of.{{ figure }}, 0)::integer as {{ figure }},
        {% endfor %}
        coalesce(as_of.failures_in_a_row, 0)::integer as failures_in_a_row
    from stood
    left join days as as_of
        on
            stood.test_environment_key = as_of.test_environment_key
            and stood.stands_as_of = as_of.business_date
    where stood.is_changed

),

counted_tests as (

    select distinct test_environment_key
    from counted

),

tests as (

    select
        counted_tests.test_environment_key,
        latest.*
    from counted_tests
    cross join
        lateral (
            select
                results.test_key,
                results.system,
                results.collection_or_project_id,
                results.environment_id
            from {{ ref('int_test_results') }} as results
            where results.test_environment_key = counted_tests.test_environment_key
            order by
                results.is_decided desc,
                results.business_date desc,
                results.run_started_at desc
            limit 1
        ) as latest

)

select
    tests.test_environment_key,
    tests.test_key,
    tests.system,
    tests.collection_or_project_id,
    tests.environment_id,
    counted.business_date,
    counted.results_total,
    counted.results_passed,
    counted.results_failed,
    counted.results_total - counted.results_passed - counted.results_failed as results_undecided,
    case
        when counted.long_results >= {{ minimum }}
            then counted.recent_transitions >= {{ var('flaky_transitions') }}
    end as is_flaky,
    counted.failures_in_a_row,
    counted.recent_broken > 0 as recent_was_broken,
    {{ window_figures('counted.', 'recent') }},
    {{ window_figures('counted.', 'long') }}
from counted
inner join tests
    on counted.test_environment_key = tests.test_environment_key
