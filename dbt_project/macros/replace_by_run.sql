{#- Incremental models are kept true by run, in two steps of one transaction: rows of runs that
    have changed or are gone leave (a pre-hook), rows of runs that the model does not hold enter
    (its query, strategy append). So a run that lands late, is loaded again with fewer rows, is
    deleted or returns ends as a full refresh would have it, whatever the order of the builds.

    A run is compared by its own `loaded_at`, which changes with its content, and not with the
    newest one that the model holds: loads commit out of order (loaded_at is when their transaction
    began) and a run that returns has an old one, so any watermark loses runs.

    Both steps look at one row of each run, by index: the cost grows with runs, not with rows. -#}


{#- Pre-hook: deletes every row of a run whose `version` columns differ from those in `current`,
    or that `current` no longer has.

    all_runs  relation with the test_run_key of every run that the model may hold; loose_index_scan
              finds them in the model itself, so that rows of a run leave even if its raw row was
              deleted by hand
    current   relation with a row for each run that belongs into the model
    version   columns of both, equal in all rows of a run, that tell an outdated row -#}
{% macro delete_outdated_runs(all_runs, current, version) -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where test_run_key in (
        select every_run.test_run_key
        from {{ all_runs }} as every_run
        cross join lateral (
            select
            {%- for column in version %}
                one_row.{{ column }}{{ "," if not loop.last }}
            {%- endfor %}
            from {{ this }} as one_row
            where one_row.test_run_key = every_run.test_run_key
            limit 1
        ) as held
        left join {{ current }} as current_run
            on current_run.test_run_key = every_run.test_run_key
        where
            {%- for column in version %}
            {{ "or " if not loop.first }}held.{{ column }} is distinct from current_run.{{ column }}
            {%- endfor %}
    )
    {%- endif -%}
{%- endmacro %}


{#- Condition on `runs`: the model holds no row of this run. True throughout in a full refresh. -#}
{% macro run_is_not_held(runs) -%}
    {%- if is_incremental() -%}
    (
        select true
        from {{ this }} as held
        where held.test_run_key = {{ runs }}.test_run_key
        limit 1
    ) is null
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}
