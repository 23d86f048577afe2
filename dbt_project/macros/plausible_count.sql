{#- A count as it was announced, or null beyond 10^15: nothing comes to that many, and it would swamp
    each sum that it is in. Loads keep such a count in `extra`; rows that older versions have loaded
    may hold it. -#}
{% macro plausible_count(column) -%}
    case when {{ column }} between -1e15 and 1e15 then {{ column }} end
{%- endmacro %}
