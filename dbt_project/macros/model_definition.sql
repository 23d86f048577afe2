{#- What incremental models are defined by: the SQL of the project (TESTRUNS_DBT_DIGEST, set by every
    command of testruns; a dbt that is started without it does not look at the SQL) and the vars. A
    row that was built by another definition is not what its description says, so that a changed
    definition builds the model anew, in the next build and without anyone's doing. -#}


{#- The vars that rows may depend on: all but those that only tests and the clock read. A test holds
    the list equal to dbt_project.yml. -#}
{% macro defining_vars() %}
    {{ return([
        'include_deleted_runs',
        'outage_z',
        'outage_component_z',
        'outage_usual_runs',
        'outage_comparable',
        'outage_share',
        'outage_items',
        'outage_pair_usual',
        'outage_part',
        'outage_min_runs',
        'outage_runs_max',
        'compared_items',
        'flakiness_recent_window',
        'flakiness_long_window',
        'flaky_window',
        'flaky_short_runs',
        'flaky_episodes',
        'flaky_usual',
        'flaky_usual_tests',
        'flaky_forgiven_runs',
        'flaky_forgiven_distances',
        'same_code_min_groups',
        'same_code_min_results',
        'same_code_mixed_groups',
        'minimum_results',
        'broken_after',
        'regression_drop',
        'live_runs',
        'current_health_days',
        'wilson_z',
        'failure_message_characters',
        'failure_compared_characters',
        'completeness_runs',
        'truncated_missing',
        'truncated_min_runs',
        'latency_recent_days',
        'latency_baseline_days',
        'latency_recent_min',
        'latency_baseline_min',
        'latency_z',
        'latency_regression_ratio',
        'latency_regression_ms',
        'latency_spike_ratio',
        'latency_spike_days',
        'red_idle_days',
        'health_days',
        'dates_max',
    ]) }}
{% endmacro %}


{#- Digests of the SQL (empty: unknown) and of the vars, as one text. -#}
{% macro model_definition() %}
    {%- set values = {} -%}
    {%- for name in defining_vars() -%}
        {%- do values.update({name: var(name, none) | string}) -%}
    {%- endfor -%}
    {{ return(env_var('TESTRUNS_DBT_DIGEST', '') ~ ' ' ~ local_md5(tojson(values, sort_keys=true))) }}
{% endmacro %}


{#- Whether the model stands by the definition of now, as far as it is known. -#}
{% macro is_defined_as_built() %}
    {%- set definition = model_definition() -%}
    {%- set held = run_query(
        "select definition from ingest.model_definitions where model_name = '" ~ model.name ~ "'"
    ).columns[0].values() -%}
    {{ return(
        held | length > 0 and (
            held[0] == definition
            or definition.startswith(' ') and held[0].split(' ')[1] == definition.strip()
        )
    ) }}
{% endmacro %}


{#- Post-hook of every model: by what an incremental one was built. -#}
{% macro record_definition() %}
    {%- if execute and config.get('materialized') == 'incremental'
        and not model_definition().startswith(' ') -%}
    insert into ingest.model_definitions as held (model_name, definition)
    values ('{{ model.name }}', '{{ model_definition() }}')
    on conflict (model_name) do update
        set definition = excluded.definition, built_at = now()
        where held.definition != excluded.definition
    {%- endif -%}
{% endmacro %}
