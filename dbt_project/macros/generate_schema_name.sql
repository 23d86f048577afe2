{#- Schemas are called what dbt_project.yml calls them, `staging` and `marts`, without dbt's usual
    prefix: BI tools hold on to these names. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
