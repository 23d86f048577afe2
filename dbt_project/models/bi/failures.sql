select
    results.test_run_key as run_key,
    results.test_key,
    runs.system,
    runs.scope_id,
    runs.scope,
    tests.owner,
    tests.test,
    tests.item,
    runs.environment,
    runs.triggered_by,
    results.business_date as day,
    dates.days_ago,
    runs.started_at,
    coalesce(clusters.normalised_message, 'no message') as reason,
    coalesce(asserted.error_message, reported.failure_message) as message,
    results.response_status_code as http_status,
    results.component,
    coalesce(flakiness.is_flaky, false) and outages.test_run_key is null as is_flaky,
    outages.test_run_key is not null as is_in_outage,
    runs.run,
    runs.run_url,
    runs.build_url
from {{ ref('int_test_results') }} as results
inner join {{ ref('runs') }} as runs
    on results.test_run_key = runs.run_key
inner join {{ ref('tests') }} as tests
    on results.test_key = tests.test_key
left join {{ ref('dim_dates') }} as dates
    on results.business_date = dates.date_day
left join {{ ref('fct_failure_clusters') }} as clusters
    on results.failure_key = clusters.failure_key
left join {{ ref('fct_assertion_results') }} as asserted
    on
        results.test_run_key = asserted.test_run_key
        and results.execution_index = asserted.execution_index
        and results.assertion_index = asserted.assertion_index
left join {{ ref('stg_reports__tests') }} as reported
    on
        results.system = 'reports'
        and substr(results.test_run_key, length('reports:') + 1) = reported.run_id
        and results.test_index = reported.test_index
left join {{ ref('fct_test_flakiness') }} as flakiness
    on
        results.test_environment_key = flakiness.test_environment_key
        and results.business_date = flakiness.business_date
left join {{ ref('int_outage_failures') }} as outages
    on
        results.test_environment_key = outages.test_environment_key
        and results.test_run_key = outages.test_run_key
where results.is_outcome and results.is_failed
