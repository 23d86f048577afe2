{#- How the runs of a thing are doing: a row for each value of `key` in fct_test_runs, where it is not
    null. What a dimension says of collections, projects and milestones alike: each is as red as the
    worst of its suites.

    key     expression that identifies the thing
    system  only runs of this system -#}
{% macro run_health(key, system) -%}
    with runs as (

        select
            *,
            {{ key }} as health_key,
            {{ run_ended_at() }} as ended_at,
            is_success is not null and not is_open as has_verdict,
            is_future_dated is not true as is_dated,
            is_future_dated is not true
            and coalesce(
                business_date
                > {{ latest_business_date(ref('fct_test_runs')) }} - {{ var('health_days') }},
                false
            ) as is_recent
        from {{ ref('fct_test_runs') }}
        where system = '{{ system }}' and {{ key }} is not null

    ),

    last_of_suites as (

        select distinct on (health_key, suite_key)
            health_key,
            is_success,
            not is_success
            and coalesce(
                ended_at + interval '{{ var("red_idle_days") }} days'
                > {{ as_of(ref('fct_test_runs')) }},
                true
            ) as is_red
        from runs
        where has_verdict and is_dated
        order by health_key asc, suite_key asc, ended_at desc nulls last, test_run_key desc

    ),

    current_state as (

        select
            health_key,
            count(*) filter (where is_red) as suites_red,
            case
                when bool_or(is_red) then 'red'
                when bool_or(is_success) then 'green'
                else 'unknown'
            end as current_health
        from last_of_suites
        group by health_key

    ),

    counted as (

        select
            health_key,
            min(coalesce(started_at, finished_at)) as first_seen_at,
            coalesce(
                max(coalesce(started_at, finished_at)) filter (where is_dated),
                max(coalesce(started_at, finished_at))
            ) as last_seen_at,
            count(*) as runs_total,
            count(*) filter (where is_open) as runs_open,
            max(ended_at) filter (where is_success and has_verdict and is_dated) as last_success_at,
            count(*) filter (where is_recent) as recent_runs,
            count(*) filter (where is_recent and is_success and has_verdict)
            / nullif(count(*) filter (where is_recent and has_verdict), 0)::double precision
                as recent_success_rate,
            (
                sum(tests_passed) filter (where is_recent and pass_rate is not null)
                / nullif(
                    sum(tests_passed + tests_failed) filter (
                        where is_recent and pass_rate is not null
                    ),
                    0
                )
            )::double precision as recent_pass_rate
        from runs
        group by health_key

    )

    select
        counted.*,
        coalesce(current_state.current_health, 'unknown') as current_health,
        coalesce(current_state.suites_red, 0) as suites_red
    from counted
    left join current_state
        on counted.health_key = current_state.health_key
{%- endmacro %}
