{#- Relation: the runs of which rows are counted, deleted ones included. -#}
{% macro counted_runs() -%}
    (
        select
            test_run_key,
            'postman' as system,
            run_id,
            loaded_at,
            deleted_at
        from {{ ref('stg_postman__collection_runs') }}
        union all
        select
            test_run_key,
            'reports' as system,
            run_id,
            loaded_at,
            deleted_at
        from {{ ref('stg_reports__runs') }}
    )
{%- endmacro %}
