{#- Addresses that people open. Testmo's pages stand beside its API. -#}
{% macro testmo_url(api_url, page, id) -%}
    regexp_replace({{ api_url }}, '/api/v[0-9]+$', '') || '/{{ page }}/' || {{ id }}
{%- endmacro %}
