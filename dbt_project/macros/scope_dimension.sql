{#- A row a scope (collection, project, source of reports) of a system: who owns it and how its runs
    are doing.

    system        the system
    id            what the dimension calls the scope's ID
    name_column   what it calls the scope's name; none where the ID is the name
    name_of_runs  the column of fct_test_runs in which runs carry the name, if they do -#}
{% macro scope_dimension(system, id, name_column=none, name_of_runs=none) -%}
    {%- set name = "ingest.name_of('" ~ system ~ "', 'scope', health.health_key)" -%}
    {%- if name_of_runs -%}
        {%- set name = 'coalesce(' ~ name ~ ', names.' ~ name_of_runs ~ ')' -%}
    {%- endif -%}
    with health as (

        {{ run_health('collection_or_project_id', system) }}

    ),

    {% if name_of_runs %}
        -- a scope may have been renamed, and not every client gives a name
        names as (

            select distinct on (collection_or_project_id)
                collection_or_project_id,
                {{ name_of_runs }}
            from {{ ref('fct_test_runs') }}
            where system = '{{ system }}' and {{ name_of_runs }} is not null
            order by collection_or_project_id asc, started_at desc nulls last, test_run_key desc

        ),
    {% endif %}

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
    {% if name_of_runs %}
        left join names
            on health.health_key = names.collection_or_project_id
    {% endif %}
    {{ join_owners(
        "'" ~ system ~ "'", 'health.health_key', name if name_column else 'null'
    ) }}
{%- endmacro %}
