-- What is loaded of each system, for those who show it and need not know which systems there are.
-- Another system's schema defines the view anew, with one more branch.

create view ingest.systems as
select
    'postman' as system,
    'raw_postman.collection_runs' as runs_table,
    count(*) as runs,
    max(loaded_at) as loaded_at,
    max(loaded_at) filter (where deleted_at is null) as present_loaded_at
from raw_postman.collection_runs
union all
select
    'testmo' as system,
    'raw_testmo.automation_runs' as runs_table,
    count(*) as runs,
    max(loaded_at) as loaded_at,
    max(loaded_at) filter (where deleted_at is null) as present_loaded_at
from raw_testmo.automation_runs
union all
select
    'reports' as system,
    'raw_reports.runs' as runs_table,
    count(*) as runs,
    max(loaded_at) as loaded_at,
    max(loaded_at) filter (where deleted_at is null) as present_loaded_at
from raw_reports.runs;

comment on view ingest.systems is 'One row a system that runs come from: what is loaded of it.';
comment on column ingest.systems.system is 'As in the marts: postman, testmo or reports.';
comment on column ingest.systems.runs_table is 'The table with a row for each of its runs.';
comment on column ingest.systems.runs is 'Runs loaded, those included that are gone at the source.';
comment on column ingest.systems.loaded_at is 'When one of them last changed here, UTC.';
comment on column ingest.systems.present_loaded_at is
'The same of those that are not gone at the source, UTC.';
