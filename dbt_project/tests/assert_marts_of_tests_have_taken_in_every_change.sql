-- Detects: marts of tests that have not taken in what int_test_results had to tell them.
-- Usually means: the model failed in this build or was left out of it (its entries wait, and the
-- next build of it takes them in), or it lacks the hook that crosses its entries off
-- (macros/test_changes.sql).
-- Returns: a row a model, with the number of its entries.
-- depends_on: {{ ref('dim_tests') }}
-- depends_on: {{ ref('fct_test_flakiness') }}
-- depends_on: {{ ref('fct_same_code_flakiness') }}
-- depends_on: {{ ref('fct_failure_clusters') }}
-- depends_on: {{ ref('fct_failure_streaks') }}
select
    model_name,
    count(*) as entries
from {{ ref('int_test_changes') }}
group by model_name
