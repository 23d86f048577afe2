select
    tests.test_key,
    tests.system,
    tests.collection_or_project_id as scope_id,
    coalesce(scopes.scope, 'no scope') as scope,
    coalesce(tests.owner, 'no owner') as owner,
    tests.channel,
    {{ full_test_name('tests') }} as test,
    coalesce(tests.item_name, tests.test_folder) as item,
    coalesce(tests.assertion_name, tests.test_name) as assertion_or_test,
    tests.health,
    tests.is_live,
    tests.environments,
    tests.first_seen_at,
    tests.last_seen_at,
    tests.last_seen_date as last_seen_day,
    tests.last_test_run_key as last_run_key
from {{ ref('dim_tests') }} as tests
left join {{ ref('scopes') }} as scopes
    on tests.system = scopes.system and tests.collection_or_project_id = scopes.scope_id
