{#- When a run ended, of all that is known of it: clocks that run backwards end it at its start; a run
    without an end has ended when it began. Null if neither is known. -#}
{% macro run_ended_at() -%}
    greatest(started_at, finished_at)
{%- endmacro %}

{#- Until when a scope that is red now counts as red: the var as_of, else the end of the latest run
    in `runs`. Never the clock: a build says the same tomorrow. A run that is dated after its load
    moves nothing: one by more than a day does not count, one by hours counts as ended when it was
    loaded. -#}
{% macro as_of(runs) -%}
    {%- if var('as_of') -%}
    '{{ var('as_of') }}'::timestamptz
    {%- else -%}
    (
        select max(least({{ run_ended_at() }}, loaded_at))
        from {{ runs }}
        where {{ run_ended_at() }} is not null and is_future_dated is not true
    )
    {%- endif -%}
{%- endmacro %}

{#- The latest business day on which anything in `runs` ran, with the same exceptions. -#}
{% macro latest_business_date(runs) -%}
    (
        select max(least(business_date, {{ business_date('loaded_at') }}))
        from {{ runs }}
        where business_date is not null and is_future_dated is not true
    )
{%- endmacro %}

{#- When a business day begins, as a timestamptz; it ends when the next begins. -#}
{% macro business_day_start(date) -%}
    (({{ date }})::timestamp at time zone '{{ business_timezone() }}')
{%- endmacro %}
