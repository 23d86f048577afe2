-- The latest verdict of each test in each environment in which it was seen lately, as dim_tests
-- looks for it: test by test, by index.
select
    tests.test_key,
    latest.test_environment_key,
    tests.system,
    tests.scope_id,
    tests.scope,
    tests.owner,
    tests.channel,
    tests.test,
    tests.item,
    coalesce(environments.environment_name, latest.environment_id, 'no environment') as environment,
    health.health,
    latest.is_flaky,
    tests.is_live,
    latest.business_date as day,
    latest.episodes,
    latest.long_results as results,
    latest.long_results - latest.long_passed as failed,
    latest.long_pass_rate as pass_rate,
    latest.long_pass_rate_low as pass_rate_low,
    latest.long_pass_rate_high as pass_rate_high,
    latest.failures_in_a_row,
    streaks.first_failed_at as failing_since,
    streaks.failures as failures_since,
    runs.run_url as first_failed_run_url,
    runs.build_url as first_failed_build_url
from {{ ref('tests') }} as tests
cross join
    lateral (
        select distinct on (judged.test_environment_key) judged.*
        from {{ ref('fct_test_flakiness') }} as judged
        where
            judged.test_key = tests.test_key
            and judged.business_date > tests.last_seen_day - {{ var('current_health_days') }}
        order by judged.test_environment_key asc, judged.business_date desc
    ) as latest
inner join {{ ref('fct_test_health') }} as health
    on
        latest.test_environment_key = health.test_environment_key
        and latest.business_date = health.business_date
left join {{ ref('dim_environments') }} as environments
    on tests.system = environments.system and latest.environment_id = environments.environment_id
left join {{ ref('fct_failure_streaks') }} as streaks
    on latest.test_environment_key = streaks.test_environment_key and streaks.is_open
left join {{ ref('runs') }} as runs
    on streaks.first_failed_run_key = runs.run_key
