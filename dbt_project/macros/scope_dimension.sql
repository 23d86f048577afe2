{#- A row a scope (project, source of reports) of a system: who owns it and how its runs are doing.

    system       the system
    id           what the dimension calls the scope's ID
    name_column  what it calls the scope's name; none where the ID is the name -#}
{% macro scope_dimension(system, id, name_column=none) -%}
    {%- set name = "ingest.name_of('" ~ system ~ "', 'scope', health.health_key)" -%}
    with health as (

        {{ run_health('collection_or_project_id', system) }}

    ),

    red_now as (

        select
            collection_or_project_id,
            red_from as red_since
        from {{ ref('int_scope_red_periods') }}
        where system = '{{ system }}' and is_open

    )

    select
        health.health_key as {{ id }},
        {% if name_column %}
            {{ name }} as {{ name_column }},
        {% endif %}
        owners.owner,
        owners.channel,
        health.first_seen_at,
        health.last_seen_at,
        health.current_health,
        red_now.red_since,
        health.suites_red,
        health.last_success_at,
        health.runs_total,
        health.runs_open,
        health.recent_runs,
        health.recent_success_rate,
        health.recent_pass_rate
    from health
    left join red_now
        on health.health_key = red_now.collection_or_project_id
    {{ join_owners(
        "'" ~ system ~ "'", 'health.health_key', name if name_column else 'null'
    ) }}
{%- endmacro %}
