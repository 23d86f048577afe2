{#- The values of a key (`test_key` or `failure_key`) of which results have come, gone or changed
    since this model was last built, with or without a start; one column, the key. -#}
{% macro changed_keys(key) -%}
    select gone.{{ key }}
    from {{ ref('int_test_changes') }} as gone
    where gone.model_name = '{{ this.name }}' and gone.{{ key }} is not null
    union
    select entered.{{ key }}
    from {{ ref('int_test_changes') }} as changes
    inner join {{ ref('int_test_results') }} as entered
        on changes.test_run_key = entered.test_run_key
    where changes.model_name = '{{ this.name }}' and entered.{{ key }} is not null
{%- endmacro %}


{#- Pre-hook: the rows that are computed anew leave. -#}
{% macro delete_changed_keys(key) -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where {{ key }} in ({{ changed_keys(key) }})
    {%- endif -%}
{%- endmacro %}


{#- The keys to compute: the changed ones, in a full refresh all that have results. -#}
{% macro keys_to_build(key) -%}
    {%- if is_incremental() -%}
    {{ changed_keys(key) }}
    {%- else -%}
    select distinct {{ key }}
    from {{ ref('int_test_results') }}
    where {{ key }} is not null
    {%- endif -%}
{%- endmacro %}
