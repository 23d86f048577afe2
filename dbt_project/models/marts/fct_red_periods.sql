select
    {{ surrogate_key(['suite_key', 'red_from']) }} as red_period_key,
    suite_key,
    system,
    collection_or_project_id,
    automation_source,
    environment,
    red_from,
    recovered_at,
    red_until,
    extract(epoch from red_until - red_from)::double precision / 60 as red_minutes,
    is_open,
    failed_runs,
    first_failed_run_key
from {{ ref('int_red_periods') }}
