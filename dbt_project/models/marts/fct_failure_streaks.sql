-- A reading of int_failure_streaks: that a streak belongs to an outage is known from other tests.
{{ config(materialized='view') }}

select
    streaks.test_environment_key,
    streaks.test_key,
    streaks.system,
    streaks.collection_or_project_id,
    streaks.environment_id,
    streaks.first_failed_run_key,
    streaks.first_failed_result_number,
    outages.outage_key,
    streaks.is_open,
    streaks.failures,
    streaks.last_passed_at,
    streaks.first_failed_at,
    streaks.last_failed_at,
    streaks.recovered_at,
    streaks.first_failed_date,
    streaks.last_failed_date,
    streaks.recovered_date,
    streaks.recovered_run_key,
    streaks.duration_seconds,
    streaks.seconds_since_recovery
from {{ ref('int_failure_streaks') }} as streaks
left join {{ ref('int_outage_streaks') }} as outages
    on
        streaks.test_environment_key = outages.test_environment_key
        and streaks.first_failed_run_key = outages.first_failed_run_key
