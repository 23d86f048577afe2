{#- The tests (each in an environment) of which results have come, gone or changed since this model
    was last built, with the first day on which they did: test_environment_key, changed_from.
    Results of runs that have not started have no place in an order, and change nothing here. -#}
{% macro changed_tests() -%}
    select
        every_change.test_environment_key,
        min(every_change.changed_from) as changed_from
    from (
        select
            gone.test_environment_key,
            gone.changed_from
        from {{ ref('int_test_changes') }} as gone
        where gone.model_name = '{{ this.name }}' and gone.changed_from is not null
        union all
        select
            entered.test_environment_key,
            entered.business_date as changed_from
        from {{ ref('int_test_changes') }} as changes
        inner join {{ ref('int_test_results') }} as entered
            on changes.test_run_key = entered.test_run_key
        where changes.model_name = '{{ this.name }}' and entered.run_started_at is not null
    ) as every_change
    group by every_change.test_environment_key
{%- endmacro %}


{#- Pre-hook: the rows of changed tests that are computed anew leave. They are looked up test by
    test, by index: a join would scan all of the table for one night.

    outdated  condition on a row (`held`) of a test that changed (`changed`) -#}
{% macro delete_changed_rows(outdated) -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where ctid = any(array(
        select outdated.row_id
        from ({{ changed_tests() }}) as changed
        cross join lateral (
            select held.ctid as row_id
            from {{ this }} as held
            where
                held.test_environment_key = changed.test_environment_key
                and ({{ outdated }})
            offset 0
        ) as outdated
    ))
    {%- endif -%}
{%- endmacro %}


{#- Pre-hook: the verdict on a test also depends on the tests beside it, those of the same scope and
    environment that ran on the same day. So all of them change with one, from the same day on: they
    are noted as changes of their own, for this model. -#}
{% macro note_tests_beside(changes) -%}
    {%- if is_incremental() -%}
    insert into {{ changes }} (model_name, test_environment_key, changed_from)
    with scopes as (
        select
            scope.system,
            scope.collection_or_project_id,
            scope.environment_id,
            min(changed.changed_from) as changed_from
        from ({{ changed_tests() }}) as changed
        -- of a test that is gone there are rows here, of a new one results
        cross join lateral (
            select held.system, held.collection_or_project_id, held.environment_id
            from {{ this }} as held
            where held.test_environment_key = changed.test_environment_key
            union all
            select results.system, results.collection_or_project_id, results.environment_id
            from {{ ref('int_test_results') }} as results
            where results.test_environment_key = changed.test_environment_key
            limit 1
        ) as scope
        group by scope.system, scope.collection_or_project_id, scope.environment_id
    )

    select
        '{{ this.name }}',
        beside.test_environment_key,
        min(scopes.changed_from)
    from scopes
    inner join {{ loose_index_scan(this, 'business_date') }} as days
        on scopes.changed_from <= days.business_date
    -- day by day, by index: a join would scan all of the table for one night
    cross join lateral (
        select held.test_environment_key
        from {{ this }} as held
        where
            held.business_date = days.business_date
            and held.system = scopes.system
            and held.collection_or_project_id is not distinct from scopes.collection_or_project_id
            and held.environment_id is not distinct from scopes.environment_id
        offset 0
    ) as beside
    group by beside.test_environment_key
    {%- endif -%}
{%- endmacro %}
