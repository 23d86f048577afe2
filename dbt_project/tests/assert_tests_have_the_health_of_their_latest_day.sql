-- Detects: tests of dim_tests whose latest day is not the latest day that they have in
-- fct_test_flakiness.
-- Usually means: one of the two has missed a change that the other has taken in; a full refresh of
-- both mends it, and the log of the last builds shows which of them failed.
-- Returns: a row a test, with both days. It looks at the tests seen on the latest days (var
-- tested_days), after a full refresh at every test.
select
    tests.test_key,
    tests.last_seen_date,
    latest.business_date
from {{ ref('dim_tests') }} as tests
cross join
    lateral (
        select max(held.business_date) as business_date
        from {{ ref('fct_test_flakiness') }} as held
        where held.test_key = tests.test_key
    ) as latest
where
    latest.business_date is distinct from tests.last_seen_date
    {% if not flags.FULL_REFRESH %}
        and tests.last_seen_date > (
            select max(newest.last_seen_date) - {{ var('tested_days') }}
            from {{ ref('dim_tests') }} as newest
        )
    {% endif %}
