{#- When a run ended, of all that is told of it: clocks that run backwards end it at its start; a
    run that tells no end has ended when it began. Null if neither is known. -#}
{% macro run_ended_at() -%}
    greatest(started_at, finished_at)
{%- endmacro %}

{#- Until when a scope that is red now counts as red: the var as_of, else the end of the latest run
    in `runs`. Never the clock: a build says the same tomorrow. -#}
{% macro as_of(runs) -%}
    {%- if var('as_of') -%}
    '{{ var('as_of') }}'::timestamptz
    {%- else -%}
    (select max({{ run_ended_at() }}) from {{ runs }})
    {%- endif -%}
{%- endmacro %}

{#- When a business day begins, as a timestamptz; it ends when the next begins. -#}
{% macro business_day_start(date) -%}
    (({{ date }})::timestamp at time zone '{{ business_timezone() }}')
{%- endmacro %}
