{#- How the runs of a thing are doing: a row for each value of `key` in fct_test_runs, where it is not
    null. What a dimension says of collections, projects and milestones alike.

    key     expression that tells the thing
    system  only runs of this system -#}
{% macro run_health(key, system) -%}
    select
        {{ key }} as health_key,
        min(coalesce(started_at, finished_at)) as first_seen_at,
        max(coalesce(started_at, finished_at)) as last_seen_at,
        count(*) as runs_total,
        count(*) filter (where is_open) as runs_open,
        case (
            array_agg(status order by {{ run_ended_at() }} desc nulls last, test_run_key desc)
            filter (where is_success is not null and not is_open)
        )[1]
            when 'passed' then 'green'
            when 'failed' then 'red'
            else 'unknown'
        end as current_health,
        max({{ run_ended_at() }}) filter (where is_success and not is_open) as last_success_at,
        count(*) filter (where is_recent) as recent_runs,
        count(*) filter (where is_recent and is_success and not is_open)
        / nullif(
            count(*) filter (where is_recent and is_success is not null and not is_open), 0
        )::double precision as recent_success_rate,
        (
            sum(tests_passed) filter (where is_recent and pass_rate is not null)
            / nullif(
                sum(tests_passed + tests_failed) filter (where is_recent and pass_rate is not null),
                0
            )
        )::double precision as recent_pass_rate
    from (
        select
            runs.*,
            coalesce(
                runs.business_date > (
                    select max(latest.business_date) - {{ var('health_days') }}
                    from {{ ref('fct_test_runs') }} as latest
                ),
                false
            ) as is_recent
        from {{ ref('fct_test_runs') }} as runs
    ) as runs
    where
        system = '{{ system }}'
        and {{ key }} is not null
    group by {{ key }}
{%- endmacro %}
