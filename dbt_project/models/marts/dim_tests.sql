-- A table: a test may be gone without any change of its own. It costs by tests, not by history.
{{ config(indexes=[{'columns': ['test_key'], 'unique': true}]) }}
{%- set worst_first = "array[
    'broken', 'flaky', 'regressing', 'recovering', 'healthy', 'new', 'skipped'
]" %}

with last_runs as (

    {{ last_runs_of_suites() }}

),

-- The latest verdict in each environment in which the test was seen lately.
verdicts as (

    select
        tests.test_key,
        latest.health,
        last_runs.test_run_key is not null as is_live
    from {{ ref('int_tests') }} as tests
    cross join
        lateral (
            select distinct on (judged.test_environment_key)
                judged.test_environment_key,
                judged.health,
                judged.last_test_run_key
            from {{ ref('fct_test_health') }} as judged
            where
                judged.test_key = tests.test_key
                and judged.business_date > tests.last_seen_date - {{ var('current_health_days') }}
            order by judged.test_environment_key asc, judged.business_date desc
        ) as latest
    left join last_runs
        on latest.last_test_run_key = last_runs.test_run_key

),

-- The worst of them is the test's.
health as (

    select
        test_key,
        count(*) filter (where is_live) as environments,
        bool_or(is_live) as is_live,
        min(array_position({{ worst_first }}, health)) filter (where is_live) as worst
    from verdicts
    group by test_key

)

select
    tests.test_key,
    tests.system,
    tests.collection_or_project_id,
    tests.request_key,
    requests.item_name,
    requests.item_occurrence,
    tests.assertion_name,
    tests.automation_case_id,
    tests.automation_source_id,
    tests.test_folder,
    tests.class_name,
    tests.test_name,
    owners.owner,
    owners.channel,
    tests.first_seen_at,
    tests.last_seen_at,
    tests.first_seen_date,
    tests.last_seen_date,
    tests.last_test_run_key,
    tests.results_not_started,
    coalesce(health.is_live, false) as is_live,
    case
        when health.is_live then ({{ worst_first }})[health.worst]
        when tests.last_seen_at is null then 'new'
        else 'gone'
    end as health,
    coalesce(health.environments, 0) as environments
from {{ ref('int_tests') }} as tests
left join health
    on tests.test_key = health.test_key
left join {{ ref('dim_requests') }} as requests
    on tests.request_key = requests.request_key
left join {{ ref('dim_collections') }} as collections
    on tests.system = 'postman' and tests.collection_or_project_id = collections.collection_id
left join {{ ref('dim_projects') }} as projects
    on tests.system = 'testmo' and tests.collection_or_project_id = projects.project_id
{{ join_owners(
    'tests.system',
    'tests.collection_or_project_id',
    'coalesce(collections.collection_name, projects.project_name)',
    full_test_name('tests', 'requests'),
) }}
