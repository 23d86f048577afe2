-- A reading of fct_test_flakiness and as quick as it: what would be kept here is a word a row.
{{ config(materialized='view') }}
{%- set minimum = var('minimum_results') %}

with flakiness as (

    select
        *,
        long_results - recent_results as before_results,
        long_passed - recent_passed as before_passed
    from {{ ref('fct_test_flakiness') }}

),

-- Whole numbers, not quotients: 0.9 - 0.7 is more than 0.2 in floating point.
compared as (

    select
        *,
        before_results >= {{ minimum }}
        and before_passed * recent_results - recent_passed * before_results
        > {{ var('regression_drop') }} * before_results * recent_results as has_dropped
    from flakiness

)

select
    test_environment_key,
    test_key,
    system,
    collection_or_project_id,
    environment_id,
    business_date,
    last_test_run_key,
    case
        when undecided_in_a_row >= {{ var('flakiness_long_window') }} then 'skipped'
        when failures_in_a_row >= {{ var('broken_after') }} then 'broken'
        when long_results < {{ minimum }} then 'new'
        when is_flaky then 'flaky'
        when
            (failures_in_a_row > 0 and not is_in_outage)
            or (has_dropped and not recent_was_broken)
            then 'regressing'
        when recent_was_broken then 'recovering'
        else 'healthy'
    end as health,
    long_results as decided_results,
    failures_in_a_row,
    recent_transitions,
    episodes,
    recent_pass_rate,
    before_passed / nullif(before_results, 0)::double precision as before_pass_rate
from compared
