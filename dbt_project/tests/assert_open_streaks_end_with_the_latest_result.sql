-- Detects: open streaks of failures whose test has since passed, and red tests without one.
-- Usually means: fct_failure_streaks and fct_test_flakiness were not built on the same results; a
-- full refresh of both mends it.
-- Returns: a row a test and environment, with what each of the two says. It looks at the latest
-- days (var tested_days), after a full refresh at all.
with latest as (

    select distinct on (test_environment_key)
        test_environment_key,
        business_date,
        failures_in_a_row
    from {{ ref('fct_test_flakiness') }}
    {% if not flags.FULL_REFRESH %}
        where
            business_date > (
                select max(newest.business_date) - {{ var('tested_days') }}
                from {{ ref('fct_test_flakiness') }} as newest
            )
    {% endif %}
    order by test_environment_key asc, business_date desc

)

select
    latest.test_environment_key,
    latest.business_date,
    latest.failures_in_a_row,
    open_streaks.failures as failures_of_open_streak
from latest
left join {{ ref('fct_failure_streaks') }} as open_streaks
    on
        latest.test_environment_key = open_streaks.test_environment_key
        and open_streaks.is_open
where
    (latest.failures_in_a_row > 0) != (open_streaks.failures is not null)
    or latest.failures_in_a_row > open_streaks.failures
