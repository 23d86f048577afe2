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
        pre_hook=[
            "{{ note_tests_beside(ref('int_test_changes')) }}",
            "{{ delete_changed_rows('held.business_date >= changed.changed_from') }}",
        ],
        post_hook="{{ forget_test_changes(ref('int_test_changes')) }}",
    )
}}
{#- whole numbers, also where --vars gives them as text -#}
{%- set recent = var('flakiness_recent_window') | int(50) -%}
{%- set long = var('flakiness_long_window') | int(50) -%}
{%- set minimum = var('minimum_results') | int(50) -%}
{%- set broken_after = var('broken_after') | int(50) -%}
{%- set window = var('flaky_window') | int(100) -%}
{%- set short = var('flaky_short_runs') | int(2) -%}
{%- set read_back = [window + short, long, recent + broken_after] | max + 1 -%}
{%- set figures = [
    'recent_results', 'recent_passed', 'recent_broken', 'recent_transitions',
    'long_results', 'long_passed', 'long_transitions',
    'episodes', 'episode_results',
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

    outages as materialized (

        select
            failures.test_environment_key,
            failures.test_run_key,
            failures.business_date
        from {{ ref('int_outage_failures') }} as failures
        inner join changed
            on failures.test_environment_key = changed.test_environment_key

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
                    and results.is_outcome
                    and results.is_decided in (true, false)
                    and results.business_date >= changed.changed_from
                    and results.run_started_at is not null
                order by results.business_date
            ) as later
        {% for is_decided, limit in [
            ('true', read_back ~ ' + left_out.outcomes'), ('false', long)
        ] %}
            union all
            select
                earlier.*,
                false as is_changed
            from changed
            cross join
                lateral (
                    select count(*) as outcomes
                    from outages
                    where
                        outages.test_environment_key = changed.test_environment_key
                        and outages.business_date < changed.changed_from
                ) as left_out
            cross join
                lateral (
                    select results.*
                    from {{ ref('int_test_results') }} as results
                    where
                        results.test_environment_key = changed.test_environment_key
                        and results.is_outcome
                        and results.is_decided = {{ is_decided }}
                        and results.business_date < changed.changed_from
                        and results.run_started_at is not null
                    order by
                        results.business_date desc,
                        results.run_started_at desc,
                        results.run_sort_key desc
                    limit {{ limit }}
                ) as earlier
        {% endfor %}

    ),
{% else %}
    outages as (

        select
            test_environment_key,
            test_run_key
        from {{ ref('int_outage_failures') }}

    ),

    read as (

        select
            *,
            true as is_changed
        from {{ ref('int_test_results') }}
        where is_outcome and run_started_at is not null

    ),
{% endif %}

outcomes as (

    select
        read.test_environment_key,
        read.test_run_key,
        read.business_date,
        read.run_started_at,
        read.run_sort_key,
        read.is_decided,
        outages.test_run_key is not null as is_outage,
        read.is_decided and outages.test_run_key is null as is_counted,
        read.outcome = 'passed' as is_passed,
        read.is_changed
    from read
    left join outages
        on
            read.test_environment_key = outages.test_environment_key
            and read.test_run_key = outages.test_run_key

),

-- Outcomes that do not count have partitions of their own: no window of those that do sees them.
compared as (

    select
        *,
        row_number() over in_order as number_in_order,
        row_number() over decided_in_order as number_of_decided,
        row_number() over all_in_order as number_of_all,
        (is_passed != lag(is_passed) over in_order)::integer as is_transition,
        count(*) filter (where not is_passed) over last_results = {{ broken_after }} as is_broken,
        coalesce(lead(business_date) over in_order != business_date, true) as ends_day,
        coalesce(lead(business_date) over decided_in_order != business_date, true)
            as ends_decided_day,
        coalesce(lead(business_date) over all_in_order != business_date, true) as ends_all_day
    from outcomes
    window
        in_order as (
            partition by test_environment_key, is_counted order by run_started_at, run_sort_key
        ),
        decided_in_order as (
            partition by test_environment_key, is_decided order by run_started_at, run_sort_key
        ),
        all_in_order as (
            partition by test_environment_key order by run_started_at, run_sort_key
        ),
        last_results as (in_order rows between {{ broken_after - 1 }} preceding and current row)

),

windowed as (

    select
        *,
        is_counted and ends_day as is_as_of_day,
        is_decided and ends_decided_day as is_decided_as_of_day,
        number_of_decided - coalesce(max(number_of_decided) filter (where is_passed) over (
            partition by test_environment_key, is_decided order by run_started_at, run_sort_key
        ), 0) as failures_in_a_row,
        number_of_all - coalesce(max(number_of_all) filter (where is_decided) over (
            partition by test_environment_key order by run_started_at, run_sort_key
        ), 0) as undecided_in_a_row,
        is_passed and number_in_order - 1 - coalesce(
            max(number_in_order) filter (where is_passed) over (
                in_order rows between unbounded preceding and 1 preceding
            ), 0
        ) between 1 and {{ short }} as is_episode,
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
            partition by test_environment_key, is_counted order by run_started_at, run_sort_key
        ),
        recent_results as (in_order rows between {{ recent - 1 }} preceding and current row),
        -- n results make n - 1 pairs: how the first one differs from its forerunner does not count
        recent_pairs as (in_order rows between {{ recent - 2 }} preceding and current row),
        long_results as (in_order rows between {{ long - 1 }} preceding and current row),
        long_pairs as (in_order rows between {{ long - 2 }} preceding and current row)

),

-- An episode is seen when it ends, with the pass after it.
with_episodes as (

    select
        *,
        count(*) filter (where is_episode) over episode_results as episodes,
        count(*) over episode_results as episode_results,
        number_in_order - max(number_in_order) filter (where is_episode) over in_order
            as results_since_episode
    from windowed
    window
        in_order as (
            partition by test_environment_key, is_counted order by run_started_at, run_sort_key
        ),
        episode_results as (in_order rows between {{ window - 1 }} preceding and current row)

),

days as (

    select
        test_environment_key,
        business_date,
        bool_or(is_changed) as is_changed,
        count(*) as results_total,
        count(*) filter (where is_decided and is_passed) as results_passed,
        count(*) filter (where is_decided and not is_passed) as results_failed,
        count(*) filter (where is_outage) as results_in_outages,
        {% for figure in figures %}
            max({{ figure }}) filter (where is_as_of_day) as {{ figure }},
        {% endfor %}
        max(results_since_episode) filter (where is_as_of_day) as results_since_episode,
        max(business_date) filter (where is_as_of_day) as counted_date,
        -- no further back than the window
        max(least(failures_in_a_row, {{ long }})) filter (where is_decided_as_of_day)
            as failures_in_a_row,
        bool_or(is_outage) filter (where is_decided_as_of_day) as is_in_outage,
        max(business_date) filter (where is_decided_as_of_day) as decided_date,
        max(least(undecided_in_a_row, {{ long }})) filter (where ends_all_day)
            as undecided_in_a_row,
        max(test_run_key) filter (where ends_all_day) as last_test_run_key
    from with_episodes
    group by test_environment_key, business_date

),

-- A day without a decided result stands as the last one before it that had any.
stood as (

    select
        *,
        max(counted_date) over days_before as stands_as_of,
        max(decided_date) over days_before as streak_as_of
    from days
    window days_before as (partition by test_environment_key order by business_date)

),

counted as (

    select
        stood.test_environment_key,
        stood.business_date,
        stood.last_test_run_key,
        stood.results_total::integer as results_total,
        stood.results_passed::integer as results_passed,
        stood.results_failed::integer as results_failed,
        stood.results_in_outages::integer as results_in_outages,
        stood.undecided_in_a_row::integer as undecided_in_a_row,
        {% for figure in figures %}
            coalesce(as_of.{{ figure }}, 0)::integer as {{ figure }},
        {% endfor %}
        case when as_of.episodes > 0 then as_of.results_since_episode::integer end
            as results_since_episode,
        coalesce(streaks.failures_in_a_row, 0)::integer as failures_in_a_row,
        coalesce(streaks.is_in_outage, false) as is_in_outage
    from stood
    left join days as as_of
        on
            stood.test_environment_key = as_of.test_environment_key
            and stood.stands_as_of = as_of.business_date
    left join days as streaks
        on
            stood.test_environment_key = streaks.test_environment_key
            and stood.streak_as_of = streaks.business_date
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
                results.is_outcome desc,
                results.is_decided desc,
                results.business_date desc,
                results.run_started_at desc
            limit 1
        ) as latest

),

placed as (

    select
        counted.*,
        tests.test_key,
        tests.system,
        tests.collection_or_project_id,
        tests.environment_id,
        counted.long_results >= {{ minimum }} and counted.undecided_in_a_row < {{ long }}
            as has_verdict
    from counted
    inner join tests
        on counted.test_environment_key = tests.test_environment_key

),

beside as (

    select
        *,
        count(*) filter (where has_verdict) over that_day as tests_beside,
        count(*) filter (where has_verdict and episodes = 0) over that_day as tests_without,
        count(*) filter (where has_verdict and episodes = 1) over that_day as tests_with_one
    from placed
    window that_day as (
        partition by system, collection_or_project_id, environment_id, business_date
    )

),

needed as (

    select
        *,
        {{ var('flaky_episodes') }}
        {%- for usual in var('flaky_usual') %}
            + (
                tests_beside >= {{ var('flaky_usual_tests') }}
                and tests_with_one > {{ usual }} * tests_without
            )::integer
        {%- endfor %} as episodes_needed
    from beside

)

select
    test_environment_key,
    test_key,
    system,
    collection_or_project_id,
    environment_id,
    business_date,
    last_test_run_key,
    results_total,
    results_passed,
    results_failed,
    results_total - results_passed - results_failed as results_undecided,
    results_in_outages,
    -- flaky until it has passed for longer than it used to between two episodes
    case
        when has_verdict
            then
                episodes >= episodes_needed
                and results_since_episode * episodes <= greatest(
                    {{ var('flaky_forgiven_runs') }} * episodes,
                    {{ var('flaky_forgiven_distances') }}
                    * (episode_results - results_since_episode)
                )
    end as is_flaky,
    episodes,
    episodes_needed,
    results_since_episode,
    failures_in_a_row,
    is_in_outage,
    undecided_in_a_row,
    recent_broken > 0 as recent_was_broken,
    {{ window_figures('', 'recent') }},
    {{ window_figures('', 'long') }}
from needed
