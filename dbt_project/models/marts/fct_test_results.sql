-- A reading of int_test_results, with what each result is called and said: looked up by key.
{{ config(materialized='view') }}

with results as (

    select
        *,
        substr(test_run_key, length(system) + 2) as run_id
    from {{ ref('int_test_results') }}

)

{% for system, relation, run_id, keys, columns in [
    (
        'postman',
        'stg_postman__assertions',
        'results.run_id',
        ['execution_index', 'assertion_index'],
        ['null::text', 'null::text', 'named.assertion_name', 'null::double precision',
         'named.error_message'],
    ),
    (
        'testmo',
        'stg_testmo__automation_run_tests',
        "(case when results.system = 'testmo' then results.run_id end)::bigint",
        ['automation_test_id'],
        ['named.test_folder', 'null::text', 'named.test_name',
         'named.elapsed_microseconds / 1000::double precision', 'null::text'],
    ),
    (
        'reports',
        'stg_reports__tests',
        'results.run_id',
        ['test_index'],
        ['named.test_folder', 'named.class_name', 'named.test_name', 'named.duration_ms',
         'named.failure_message'],
    ),
] %}
    {%- if not loop.first %}
        union all
    {% endif %}
    select
        results.test_run_key,
        results.result_number,
        results.test_key,
        results.test_environment_key,
        results.system,
        results.collection_or_project_id,
        results.environment_id,
        results.request_key,
        {{ columns[0] }} as test_folder,
        {{ columns[1] }} as class_name,
        {{ columns[2] }} as test_name,
        results.outcome,
        results.is_decided,
        results.is_outcome,
        results.is_flaky_in_run,
        results.attempts_passed,
        results.attempts_failed,
        {{ columns[3] }} as duration_ms,
        {{ columns[4] }} as error_message,
        results.failure_key,
        results.run_started_at,
        results.business_date
    from results
    left join {{ ref(relation) }} as named
        on
            {{ run_id }} = named.run_id
            {% for key in keys %}
                and results.{{ key }} = named.{{ key }}
            {% endfor %}
    where results.system = '{{ system }}'
{% endfor %}
