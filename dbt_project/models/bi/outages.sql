select
    outages.outage_key,
    runs.system,
    runs.scope_id,
    runs.scope,
    runs.owner,
    runs.environment,
    runs.triggered_by,
    outages.started_at,
    outages.business_date as day,
    outages.recovered_at,
    outages.is_open,
    extract(epoch from outages.recovered_at - outages.started_at)::double precision / 60 as minutes,
    outages.runs_failed,
    outages.tests_hit as tests,
    outages.failures,
    outages.component,
    outages.response_status_code as http_status,
    outages.unanswered_share,
    runs.run as first_failed_run,
    runs.run_url as first_failed_run_url,
    runs.build_url as first_failed_build_url
from {{ ref('fct_outages') }} as outages
inner join {{ ref('runs') }} as runs
    on outages.first_failed_run_key = runs.run_key
