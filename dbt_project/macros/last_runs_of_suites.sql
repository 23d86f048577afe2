{#- The last runs of each suite, at most the var live_runs, that sent or tested anything; one column,
    test_run_key. What was seen in none of them is gone. -#}
{% macro last_runs_of_suites() -%}
    select test_run_key
    from {{ ref('int_test_run_statuses') }}
    where suite_runs_after < {{ var('live_runs') }}
{%- endmacro %}
