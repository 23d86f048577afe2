{#- How one night's news reaches the models of tests without a look at all days of all tests.

    A deleted or replaced run leaves no row behind to show that its tests have changed. So
    int_test_results writes down what it takes away and what it adds, in its own transaction, once
    for each model that reads it (int_test_changes). A reader computes anew what changed and crosses
    off its entries, in its own transaction too: what fails stays on the list for the next build,
    and whatever the order of builds, each change reaches each reader. -#}


{#- The models that keep rows of their own and have to learn of changes. -#}
{% macro readers_of_test_changes() -%}
    {{ return([
        'int_tests',
        'fct_test_flakiness',
        'fct_same_code_flakiness',
        'fct_failure_clusters',
        'int_failure_streaks',
    ]) }}
{%- endmacro %}


{#- Pre-hook of int_test_results: what models of an earlier version have not taken in, nobody will. -#}
{% macro forget_former_readers(changes) -%}
    delete from {{ changes }}
    where model_name != all(array{{ readers_of_test_changes() }})
{%- endmacro %}


{#- Pre-hook of int_test_results: as delete_outdated_runs, and notes the tests that lose results.
    Before a full refresh every test that it holds is noted: any of them may not return. -#}
{% macro delete_and_note_outdated_runs(changes, all_runs, current, version) -%}
    {%- set existing = load_relation(this) -%}
    {%- if existing is not none -%}
    with gone as (
        {%- if is_incremental() %}
        {{ delete_outdated_runs(all_runs, current, version) }}
        returning test_key, test_environment_key, failure_key, run_started_at, business_date
        {%- else %}
        select test_key, test_environment_key, failure_key, run_started_at, business_date
        from {{ this }}
        {%- endif %}
    )

    insert into {{ changes }} (
        model_name, test_key, test_environment_key, failure_key, changed_from
    )
    select
        readers.model_name,
        gone.test_key,
        gone.test_environment_key,
        gone.failure_key,
        min(gone.business_date) filter (where gone.run_started_at is not null)
    from gone
    cross join unnest(array{{ readers_of_test_changes() }}) as readers (model_name)
    group by readers.model_name, gone.test_key, gone.test_environment_key, gone.failure_key
    {%- endif -%}
{%- endmacro %}


{#- Pre-hook of int_test_results: notes the runs whose results are about to enter.

    runs  relation with the runs that belong into the model -#}
{% macro note_entering_runs(changes, runs) -%}
    insert into {{ changes }} (model_name, test_run_key)
    select
        readers.model_name,
        entering.test_run_key
    from (
        select runs.test_run_key
        from {{ runs }} as runs
        where {{ has_results('runs') }} and {{ run_is_not_held('runs') }}
    ) as entering
    cross join unnest(array{{ readers_of_test_changes() }}) as readers (model_name)
{%- endmacro %}


{#- Condition on `runs`: their results enter int_test_results. The pre-hook has just looked at every
    run, so that here only those that it noted are looked up. -#}
{% macro results_enter(changes, runs) -%}
    {%- if is_incremental() -%}
    {{ runs }}.test_run_key in (select noted.test_run_key from {{ changes }} as noted)
    and {{ run_is_not_held(runs) }}
    {%- else -%}
    {{ has_results(runs) }}
    {%- endif -%}
{%- endmacro %}


{#- Post-hook of a reader: its entries are done with. -#}
{% macro forget_test_changes(changes) -%}
    delete from {{ changes }}
    where model_name = '{{ this.name }}'
{%- endmacro %}


{#- Pre-hook of int_outage_streaks: notes the tests of which a streak has become part of an outage, or
    is none any more, from the day on which it began.

    current  relation with the streaks that are part of an outage now -#}
{% macro note_outage_changes(changes, current) -%}
    {%- set existing = load_relation(this) -%}
    {%- if existing is not none -%}
    insert into {{ changes }} (model_name, test_environment_key, changed_from)
    select
        readers.model_name,
        differing.test_environment_key,
        min(differing.first_failed_date)
    from (
        (table {{ this }} except table {{ current }})
        union all
        (table {{ current }} except table {{ this }})
    ) as differing
    cross join unnest(array['fct_test_flakiness', 'fct_same_code_flakiness']) as readers (model_name)
    group by readers.model_name, differing.test_environment_key
    {%- endif -%}
{%- endmacro %}
