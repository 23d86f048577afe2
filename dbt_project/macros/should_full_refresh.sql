{#- Overrides dbt's own: an incremental model is also built anew when its table does not have the
    columns that its .yml describes (a test holds the two equal), or was built by another definition
    (model_definition.sql). So an upgrade that adds a column to a mart or means something else by it
    fills it in old rows too, in the next build, without anyone's doing. -#}
{% macro should_full_refresh() %}
    {%- set configured = config.get('full_refresh') -%}
    {%- set full_refresh = flags.FULL_REFRESH if configured is none else configured -%}
    {%- if execute and configured is none and not full_refresh
        and config.get('materialized') == 'incremental' -%}
        {%- set existing = load_relation(this) -%}
        {%- if existing is not none -%}
            {%- set held = adapter.get_columns_in_relation(existing) | map(attribute='name') -%}
            {%- set full_refresh
                = held | sort != model.columns | sort or not is_defined_as_built() -%}
        {%- endif -%}
    {%- endif -%}
    {% do return(full_refresh) %}
{% endmacro %}
