select
    latencies.request_environment_key,
    'postman' as system,
    latencies.collection_id as scope_id,
    coalesce(scopes.scope, 'no scope') as scope,
    coalesce(scopes.owner, 'no owner') as owner,
    coalesce(requests.item_name, 'no name')
    || case when requests.item_occurrence > 1 then ' #' || requests.item_occurrence else '' end
        as request,
    coalesce(environments.environment_name, latencies.environment_id, 'no environment')
        as environment,
    latencies.business_date as day,
    dates.days_ago,
    latencies.requests_answered as answers,
    latencies.p50_ms,
    latencies.p95_ms,
    latencies.p99_ms,
    latencies.max_ms,
    latencies.recent_requests as recent_answers,
    latencies.recent_median_ms,
    latencies.baseline_requests as baseline_answers,
    latencies.baseline_median_ms,
    latencies.slowdown_ratio,
    latencies.slowdown_ms,
    latencies.is_regression as is_slower,
    latencies.is_spike,
    not exists (
        select
        from {{ ref('fct_request_latency_daily') }} as later
        where
            later.request_environment_key = latencies.request_environment_key
            and later.business_date > latencies.business_date
    ) as is_latest
from {{ ref('fct_request_latency_daily') }} as latencies
left join {{ ref('dim_requests') }} as requests
    on latencies.request_key = requests.request_key
left join {{ ref('dim_dates') }} as dates
    on latencies.business_date = dates.date_day
left join {{ ref('scopes') }} as scopes
    on scopes.system = 'postman' and latencies.collection_id = scopes.scope_id
left join {{ ref('dim_environments') }} as environments
    on environments.system = 'postman' and latencies.environment_id = environments.environment_id
