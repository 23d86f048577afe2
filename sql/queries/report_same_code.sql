-- Same code, different outcome: what `testruns report` says of it beside the historical verdict.

-- name: same_code
-- Live tests that are flaky by their history or on the same code, each as of now: where both say
-- so, then where they differ, then where one has no verdict.
with verdicts as (
    select
        codes.*,
        tests.item_name,
        tests.item_occurrence,
        tests.test_folder,
        tests.assertion_name,
        tests.test_name,
        left(tests.owner, 300) as owner,
        history.is_flaky as is_flaky_by_history,
        case
            when codes.is_flaky and history.is_flaky then 'both'
            when codes.is_flaky then 'code'
            when history.is_flaky and not codes.is_flaky then 'history'
            when history.is_flaky then 'unknown'
        end as verdict
    from marts.fct_same_code_flakiness as codes
    inner join marts.dim_tests as tests
        on codes.test_key = tests.test_key
    cross join
        lateral (
            select days.is_flaky
            from marts.fct_test_flakiness as days
            where
                days.test_environment_key = codes.test_environment_key
                and days.business_date <= %(last_day)s
            order by days.business_date desc
            limit 1
        ) as history
    where tests.is_live
)

select
    system,
    collection_or_project_id as scope,
    environment_id,
    left(coalesce(item_name, test_folder), 1000) as parent_name,
    left(coalesce(assertion_name, test_name), 1000) as test_name,
    item_occurrence as occurrence,
    owner,
    verdict,
    code_identities,
    same_code_groups,
    mixed_groups,
    results_decided,
    results_failed,
    results_in_outages,
    mixed_rate,
    mixed_rate_low,
    mixed_rate_high,
    last_mixed_at,
    count(*) over () as tests
from verdicts
where verdict is not null
order by
    array_position(array['both', 'code', 'history', 'unknown'], verdict) asc,
    mixed_groups desc,
    test_environment_key asc
limit 20;
