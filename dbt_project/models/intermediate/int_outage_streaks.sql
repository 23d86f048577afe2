-- int_mass_failures as of the last build: what differs, be it the length of a streak, has to be
-- judged anew and is noted.
{{
    config(
        materialized='table',
        indexes=[{'columns': ['test_environment_key', 'first_failed_run_key'], 'unique': true}],
        pre_hook="{{ note_outage_changes(ref('int_test_changes'), ref('int_mass_failures')) }}",
    )
}}

-- depends_on: {{ ref('int_test_changes') }}

select
    test_environment_key,
    first_failed_run_key,
    first_failed_date,
    failures,
    recovered_run_key,
    outage_key
from {{ ref('int_mass_failures') }}
