{#- A table of the loader's that may not be there: a role without CREATE on the database has no schema
    of report files until an administrator makes it (pipelines/warehouse/migrations.py). Where it is
    missing, no rows of the same columns.

    columns  name: type, of all that the model reads -#}
{% macro optional_source(source_name, table_name, columns) -%}
    {%- set relation = source(source_name, table_name) -%}
    {%- if not execute or load_relation(relation) is not none -%}
    select * from {{ relation }}
    {%- else -%}
    select
        {%- for column, type in columns.items() %}
        null::{{ type }} as {{ column }}{{ "," if not loop.last }}
        {%- endfor %}
    where false
    {%- endif -%}
{%- endmacro %}
