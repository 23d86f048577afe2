{#- IANA zone in which days are counted: var `business_timezone`, else TESTRUNS_TIMEZONE, else
    UTC. -#}
{% macro business_timezone() -%}
    {{ var('business_timezone', none) or env_var('TESTRUNS_TIMEZONE', 'UTC') }}
{%- endmacro %}

{#- Day of a timestamptz in the business zone, as a date. A run at 23:30 UTC belongs to the next
    day in Berlin, and a day on which clocks change has 23 or 25 hours. -#}
{% macro business_date(moment) -%}
    ({{ moment }} at time zone '{{ business_timezone() }}')::date
{%- endmacro %}
