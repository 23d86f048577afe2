-- Test by test, by index: outages are few, and the history of results is long.
select
    outages.outage_key,
    outages.test_environment_key,
    failures.test_run_key,
    failures.result_number,
    failures.business_date
from {{ ref('int_outage_streaks') }} as outages
inner join {{ ref('int_failure_streaks') }} as streaks
    on
        outages.first_failed_run_key = streaks.first_failed_run_key
        and outages.test_environment_key = streaks.test_environment_key
cross join
    lateral (
        select
            results.test_run_key,
            results.result_number,
            results.business_date
        from {{ ref('int_test_results') }} as results
        where
            results.test_environment_key = outages.test_environment_key
            and results.is_outcome
            and results.is_decided
            and results.business_date
            between streaks.first_failed_date and streaks.last_failed_date
            and results.run_started_at is not null
            and results.is_failed
            and (results.run_started_at, results.run_sort_key)
            >= (streaks.first_failed_at, streaks.first_failed_sort_key)
            and (
                streaks.recovered_at is null
                or (results.run_started_at, results.run_sort_key)
                < (streaks.recovered_at, streaks.recovered_sort_key)
            )
    ) as failures
