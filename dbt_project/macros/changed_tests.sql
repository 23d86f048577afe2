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
