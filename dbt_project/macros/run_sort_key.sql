{#- The ID of a run such that text sorts as the ID does, the same in any warehouse: numbers as numbers.
    Orders runs that started at the same time. -#}
{% macro run_sort_key(runs) -%}
    case {{ runs }}.system when 'testmo' then lpad({{ runs }}.run_id, 20, '0') else {{ runs }}.run_id end
    collate "C"
{%- endmacro %}
