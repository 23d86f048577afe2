{#- The last runs of each suite, at most the var live_runs, that sent or tested anything; one column,
    test_run_key. What was seen in none of them is gone. -#}
{% macro last_runs_of_suites() -%}
    select numbered.test_run_key
    from (
        select
            runs.test_run_key,
            row_number() over (
                partition by runs.suite_key
                order by runs.started_at desc, {{ run_sort_key('runs') }} desc
            ) as runs_to_the_last
        from {{ ref('int_test_run_statuses') }} as runs
        where
            runs.started_at is not null
            and runs.is_future_dated is not true
            and (runs.tests_total = 0 and coalesce(runs.requests_total, 0) = 0) is not true
    ) as numbered
    where numbered.runs_to_the_last <= {{ var('live_runs') }}
{%- endmacro %}
