{#- Key of a request of a collection: its item's name, and which of that name it is within an
    iteration. One request in all runs and environments. -#}
{% macro request_key(collection_id, item_name, item_occurrence) -%}
    {{ surrogate_key([collection_id, item_name, item_occurrence]) }}
{%- endmacro %}
