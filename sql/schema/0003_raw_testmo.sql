-- Testmo automation runs: a run, its threads, and what hangs on either; reference objects.

create schema if not exists raw_testmo;

create table raw_testmo.automation_runs (
    run_id bigint not null,
    project_id bigint,
    source_id bigint,
    name text,
    status integer,
    config_id bigint,
    milestone_id bigint,
    elapsed bigint,
    is_completed boolean,
    untested_count bigint,
    status1_count bigint,
    status2_count bigint,
    status3_count bigint,
    status4_count bigint,
    status5_count bigint,
    status6_count bigint,
    status7_count bigint,
    status8_count bigint,
    status9_count bigint,
    status10_count bigint,
    status11_count bigint,
    status12_count bigint,
    status13_count bigint,
    status14_count bigint,
    status15_count bigint,
    status16_count bigint,
    status17_count bigint,
    status18_count bigint,
    status19_count bigint,
    status20_count bigint,
    status21_count bigint,
    status22_count bigint,
    status23_count bigint,
    status24_count bigint,
    success_count bigint,
    failure_count bigint,
    completed_count bigint,
    total_count bigint,
    thread_count bigint,
    thread_active_count bigint,
    thread_completed_count bigint,
    created_at timestamptz,
    created_by bigint,
    updated_at timestamptz,
    updated_by bigint,
    completed_at timestamptz,
    completed_by bigint,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    deleted_at timestamptz,
    primary key (run_id)
);
create index automation_runs_loaded_at on raw_testmo.automation_runs (loaded_at);
comment on table raw_testmo.automation_runs is
'One row an automation run.';
comment on column raw_testmo.automation_runs.run_id is 'The run''s ID.';
comment on column raw_testmo.automation_runs.project_id is 'Project it belongs to.';
comment on column raw_testmo.automation_runs.source_id is
'Automation source (raw_testmo.automation_sources).';
comment on column raw_testmo.automation_runs.name is 'Name of the run, up to 750 characters.';
comment on column raw_testmo.automation_runs.status is
'2 success, 3 failure, 4 running; others may appear.';
comment on column raw_testmo.automation_runs.config_id is 'Configuration; null: none.';
comment on column raw_testmo.automation_runs.milestone_id is 'Milestone; null: none.';
comment on column raw_testmo.automation_runs.elapsed is 'Microseconds; null while open, often 0.';
comment on column raw_testmo.automation_runs.is_completed is 'The run has been completed.';
comment on column raw_testmo.automation_runs.untested_count is 'Tests not run yet.';
comment on column raw_testmo.automation_runs.status1_count is
'Tests in the instance''s status 1 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status2_count is
'Tests in the instance''s status 2 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status3_count is
'Tests in the instance''s status 3 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status4_count is
'Tests in the instance''s status 4 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status5_count is
'Tests in the instance''s status 5 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status6_count is
'Tests in the instance''s status 6 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status7_count is
'Tests in the instance''s status 7 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status8_count is
'Tests in the instance''s status 8 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status9_count is
'Tests in the instance''s status 9 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status10_count is
'Tests in the instance''s status 10 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status11_count is
'Tests in the instance''s status 11 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status12_count is
'Tests in the instance''s status 12 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status13_count is
'Tests in the instance''s status 13 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status14_count is
'Tests in the instance''s status 14 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status15_count is
'Tests in the instance''s status 15 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status16_count is
'Tests in the instance''s status 16 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status17_count is
'Tests in the instance''s status 17 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status18_count is
'Tests in the instance''s status 18 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status19_count is
'Tests in the instance''s status 19 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status20_count is
'Tests in the instance''s status 20 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status21_count is
'Tests in the instance''s status 21 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status22_count is
'Tests in the instance''s status 22 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status23_count is
'Tests in the instance''s status 23 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.status24_count is
'Tests in the instance''s status 24 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_runs.success_count is 'Tests that passed.';
comment on column raw_testmo.automation_runs.failure_count is 'Tests that failed.';
comment on column raw_testmo.automation_runs.completed_count is
'Tests with any final result: also skipped or blocked ones.';
comment on column raw_testmo.automation_runs.total_count is 'Tests in all.';
comment on column raw_testmo.automation_runs.thread_count is 'Threads in all.';
comment on column raw_testmo.automation_runs.thread_active_count is 'Threads still running.';
comment on column raw_testmo.automation_runs.thread_completed_count is 'Threads completed.';
comment on column raw_testmo.automation_runs.created_at is 'UTC.';
comment on column raw_testmo.automation_runs.created_by is 'User (raw_testmo.users).';
comment on column raw_testmo.automation_runs.updated_at is 'UTC; null: never.';
comment on column raw_testmo.automation_runs.updated_by is 'User; null: never updated.';
comment on column raw_testmo.automation_runs.completed_at is
'UTC, may be days after created_at; null: open.';
comment on column raw_testmo.automation_runs.completed_by is 'User; null: open.';
comment on column raw_testmo.automation_runs.extra is
'Fields that the API sent and that have no column; null: none.';
comment on column raw_testmo.automation_runs.first_loaded_at is
'When a load first wrote this row, UTC.';
comment on column raw_testmo.automation_runs.loaded_at is
'When the content of this run, children included, last changed here, UTC.';
comment on column raw_testmo.automation_runs.load_id is
'The load (ingest.loads) that wrote this content.';
comment on column raw_testmo.automation_runs.deleted_at is
'When a backfill found the run gone at the source, UTC; null: it is there.';

create table raw_testmo.automation_run_threads (
    run_id bigint not null,
    thread_id bigint not null,
    thread_index integer,
    name text,
    status integer,
    elapsed bigint,
    is_completed boolean,
    untested_count bigint,
    status1_count bigint,
    status2_count bigint,
    status3_count bigint,
    status4_count bigint,
    status5_count bigint,
    status6_count bigint,
    status7_count bigint,
    status8_count bigint,
    status9_count bigint,
    status10_count bigint,
    status11_count bigint,
    status12_count bigint,
    status13_count bigint,
    status14_count bigint,
    status15_count bigint,
    status16_count bigint,
    status17_count bigint,
    status18_count bigint,
    status19_count bigint,
    status20_count bigint,
    status21_count bigint,
    status22_count bigint,
    status23_count bigint,
    status24_count bigint,
    success_count bigint,
    failure_count bigint,
    completed_count bigint,
    total_count bigint,
    created_at timestamptz,
    created_by bigint,
    completed_at timestamptz,
    completed_by bigint,
    extra jsonb,
    primary key (run_id, thread_id)
);
comment on table raw_testmo.automation_run_threads is
'One row a thread of a run.';
comment on column raw_testmo.automation_run_threads.run_id is 'The run.';
comment on column raw_testmo.automation_run_threads.thread_id is 'The thread''s ID.';
comment on column raw_testmo.automation_run_threads.thread_index is
'Order of creation in the run, from 1.';
comment on column raw_testmo.automation_run_threads.name is 'Name of the thread.';
comment on column raw_testmo.automation_run_threads.status is
'2 success, 3 failure, 4 running; others may appear.';
comment on column raw_testmo.automation_run_threads.elapsed is 'Microseconds; null: not told.';
comment on column raw_testmo.automation_run_threads.is_completed is
'The thread has been completed.';
comment on column raw_testmo.automation_run_threads.untested_count is 'Tests not run yet.';
comment on column raw_testmo.automation_run_threads.status1_count is
'Tests in the instance''s status 1 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status2_count is
'Tests in the instance''s status 2 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status3_count is
'Tests in the instance''s status 3 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status4_count is
'Tests in the instance''s status 4 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status5_count is
'Tests in the instance''s status 5 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status6_count is
'Tests in the instance''s status 6 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status7_count is
'Tests in the instance''s status 7 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status8_count is
'Tests in the instance''s status 8 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status9_count is
'Tests in the instance''s status 9 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status10_count is
'Tests in the instance''s status 10 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status11_count is
'Tests in the instance''s status 11 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status12_count is
'Tests in the instance''s status 12 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status13_count is
'Tests in the instance''s status 13 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status14_count is
'Tests in the instance''s status 14 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status15_count is
'Tests in the instance''s status 15 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status16_count is
'Tests in the instance''s status 16 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status17_count is
'Tests in the instance''s status 17 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status18_count is
'Tests in the instance''s status 18 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status19_count is
'Tests in the instance''s status 19 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status20_count is
'Tests in the instance''s status 20 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status21_count is
'Tests in the instance''s status 21 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status22_count is
'Tests in the instance''s status 22 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status23_count is
'Tests in the instance''s status 23 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.status24_count is
'Tests in the instance''s status 24 (raw_testmo.statuses.system_name).';
comment on column raw_testmo.automation_run_threads.success_count is 'Tests that passed.';
comment on column raw_testmo.automation_run_threads.failure_count is 'Tests that failed.';
comment on column raw_testmo.automation_run_threads.completed_count is
'Tests with any final result: also skipped or blocked ones.';
comment on column raw_testmo.automation_run_threads.total_count is 'Tests in all.';
comment on column raw_testmo.automation_run_threads.created_at is 'UTC.';
comment on column raw_testmo.automation_run_threads.created_by is 'User (raw_testmo.users).';
comment on column raw_testmo.automation_run_threads.completed_at is 'UTC; null: open.';
comment on column raw_testmo.automation_run_threads.completed_by is 'User; null: open.';
comment on column raw_testmo.automation_run_threads.extra is
'Fields that the API sent and that have no column; null: none.';

create table raw_testmo.automation_run_tags (
    run_id bigint not null,
    tag text not null,
    primary key (run_id, tag)
);
comment on table raw_testmo.automation_run_tags is
'One row a different tag of a run.';
comment on column raw_testmo.automation_run_tags.run_id is 'The run.';
comment on column raw_testmo.automation_run_tags.tag is 'The tag, case kept.';

create table raw_testmo.automation_run_artifacts (
    run_id bigint not null,
    thread_id bigint,
    position integer not null,
    name text,
    note text,
    url text,
    mime_type text,
    size_bytes bigint,
    extra jsonb,
    unique nulls not distinct (run_id, thread_id, position)
);
comment on table raw_testmo.automation_run_artifacts is
'One row an artifact of a run or of one of its threads.';
comment on column raw_testmo.automation_run_artifacts.run_id is 'The run.';
comment on column raw_testmo.automation_run_artifacts.thread_id is
'The thread it hangs on; null: on the run itself.';
comment on column raw_testmo.automation_run_artifacts.position is
'0-based order there; the same one may stand twice.';
comment on column raw_testmo.automation_run_artifacts.name is 'Name of the file.';
comment on column raw_testmo.automation_run_artifacts.note is 'Note; null: none.';
comment on column raw_testmo.automation_run_artifacts.url is
'Where it lies; user, password and secret parameters are REDACTED.';
comment on column raw_testmo.automation_run_artifacts.mime_type is 'Media type; null: not told.';
comment on column raw_testmo.automation_run_artifacts.size_bytes is 'Bytes; null: not told.';
comment on column raw_testmo.automation_run_artifacts.extra is
'Fields that the API sent and that have no column; null: none.';

create table raw_testmo.automation_run_fields (
    run_id bigint not null,
    thread_id bigint,
    position integer not null,
    type integer,
    name text,
    value text,
    meta jsonb,
    extra jsonb,
    unique nulls not distinct (run_id, thread_id, position)
);
comment on table raw_testmo.automation_run_fields is
'One row a field of a run or of one of its threads.';
comment on column raw_testmo.automation_run_fields.run_id is 'The run.';
comment on column raw_testmo.automation_run_fields.thread_id is
'The thread it hangs on; null: on the run itself.';
comment on column raw_testmo.automation_run_fields.position is
'0-based order there; the same one may stand twice.';
comment on column raw_testmo.automation_run_fields.type is
'1 string, 2 text, 3 HTML, 4 console, 5 URL.';
comment on column raw_testmo.automation_run_fields.name is 'Name of the field.';
comment on column raw_testmo.automation_run_fields.value is
'Its value; secrets in a URL field are REDACTED.';
comment on column raw_testmo.automation_run_fields.meta is 'More about it, as sent; null: none.';
comment on column raw_testmo.automation_run_fields.extra is
'Fields that the API sent and that have no column; null: none.';

create table raw_testmo.automation_run_links (
    run_id bigint not null,
    thread_id bigint,
    position integer not null,
    name text,
    note text,
    url text,
    extra jsonb,
    unique nulls not distinct (run_id, thread_id, position)
);
comment on table raw_testmo.automation_run_links is
'One row a link of a run or of one of its threads.';
comment on column raw_testmo.automation_run_links.run_id is 'The run.';
comment on column raw_testmo.automation_run_links.thread_id is
'The thread it hangs on; null: on the run itself.';
comment on column raw_testmo.automation_run_links.position is
'0-based order there; the same one may stand twice.';
comment on column raw_testmo.automation_run_links.name is 'Name of the link.';
comment on column raw_testmo.automation_run_links.note is 'Note; null: none.';
comment on column raw_testmo.automation_run_links.url is
'Its target; user, password and secret parameters are REDACTED.';
comment on column raw_testmo.automation_run_links.extra is
'Fields that the API sent and that have no column; null: none.';

create table raw_testmo.automation_run_tests (
    run_id bigint not null,
    automation_test_id bigint not null,
    automation_case_id bigint,
    repository_case_id bigint,
    key text,
    name text,
    folder text,
    status integer,
    elapsed bigint,
    thread_id bigint,
    created_at timestamptz,
    extra jsonb,
    primary key (run_id, automation_test_id)
);
comment on table raw_testmo.automation_run_tests is
'One row a test result of a run (not filled yet).';
comment on column raw_testmo.automation_run_tests.run_id is 'The run.';
comment on column raw_testmo.automation_run_tests.automation_test_id is 'The result''s ID.';
comment on column raw_testmo.automation_run_tests.automation_case_id is
'Automation case; null: not linked.';
comment on column raw_testmo.automation_run_tests.repository_case_id is
'Repository case; null: not linked.';
comment on column raw_testmo.automation_run_tests.key is 'Key given by the reporter; may repeat.';
comment on column raw_testmo.automation_run_tests.name is 'Name of the test.';
comment on column raw_testmo.automation_run_tests.folder is 'Folder; null: none.';
comment on column raw_testmo.automation_run_tests.status is
'1 neutral, 2 success, 3 failure, 4 running.';
comment on column raw_testmo.automation_run_tests.elapsed is 'Microseconds; null: not told.';
comment on column raw_testmo.automation_run_tests.thread_id is 'Thread that reported it.';
comment on column raw_testmo.automation_run_tests.created_at is 'UTC.';
comment on column raw_testmo.automation_run_tests.extra is
'Fields that the API sent and that have no column; null: none.';

create table raw_testmo.automation_sources (
    id bigint not null,
    name text,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    primary key (id)
);
comment on table raw_testmo.automation_sources is
'One row an automation source that a run has referred to.';
comment on column raw_testmo.automation_sources.id is 'Its ID.';
comment on column raw_testmo.automation_sources.name is 'Its name.';
comment on column raw_testmo.automation_sources.extra is
'Fields that the API sent and that have no column; null: none.';
comment on column raw_testmo.automation_sources.first_loaded_at is
'When a load first wrote this row, UTC.';
comment on column raw_testmo.automation_sources.loaded_at is
'When its content last changed here, UTC.';
comment on column raw_testmo.automation_sources.load_id is
'The load (ingest.loads) that wrote this content.';

create table raw_testmo.configs (
    id bigint not null,
    name text,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    primary key (id)
);
comment on table raw_testmo.configs is
'One row a configuration that a run has referred to.';
comment on column raw_testmo.configs.id is 'Its ID.';
comment on column raw_testmo.configs.name is 'Its name.';
comment on column raw_testmo.configs.extra is
'Fields that the API sent and that have no column; null: none.';
comment on column raw_testmo.configs.first_loaded_at is 'When a load first wrote this row, UTC.';
comment on column raw_testmo.configs.loaded_at is 'When its content last changed here, UTC.';
comment on column raw_testmo.configs.load_id is 'The load (ingest.loads) that wrote this content.';

create table raw_testmo.milestones (
    id bigint not null,
    name text,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    primary key (id)
);
comment on table raw_testmo.milestones is
'One row a milestone that a run has referred to.';
comment on column raw_testmo.milestones.id is 'Its ID.';
comment on column raw_testmo.milestones.name is 'Its name.';
comment on column raw_testmo.milestones.extra is
'Fields that the API sent and that have no column; null: none.';
comment on column raw_testmo.milestones.first_loaded_at is 'When a load first wrote this row, UTC.';
comment on column raw_testmo.milestones.loaded_at is 'When its content last changed here, UTC.';
comment on column raw_testmo.milestones.load_id is
'The load (ingest.loads) that wrote this content.';

create table raw_testmo.users (
    id bigint not null,
    name text,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    primary key (id)
);
comment on table raw_testmo.users is
'One row a user that a run has referred to.';
comment on column raw_testmo.users.id is 'Its ID.';
comment on column raw_testmo.users.name is 'Its name.';
comment on column raw_testmo.users.extra is
'Fields that the API sent and that have no column; null: none.';
comment on column raw_testmo.users.first_loaded_at is 'When a load first wrote this row, UTC.';
comment on column raw_testmo.users.loaded_at is 'When its content last changed here, UTC.';
comment on column raw_testmo.users.load_id is 'The load (ingest.loads) that wrote this content.';

create table raw_testmo.statuses (
    id bigint not null,
    name text,
    system_name text,
    color text,
    is_final boolean,
    is_untested boolean,
    is_passed boolean,
    is_failed boolean,
    aliases jsonb,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    primary key (id)
);
comment on table raw_testmo.statuses is
'One row a test status of the instance.';
comment on column raw_testmo.statuses.id is 'Its ID.';
comment on column raw_testmo.statuses.name is 'Its name.';
comment on column raw_testmo.statuses.system_name is
'statusN: its counts are in statusN_count; untested: in untested_count.';
comment on column raw_testmo.statuses.color is '#rrggbb.';
comment on column raw_testmo.statuses.is_final is 'A test in it is done.';
comment on column raw_testmo.statuses.is_untested is 'A test in it has not been run.';
comment on column raw_testmo.statuses.is_passed is 'A test in it counts as passed.';
comment on column raw_testmo.statuses.is_failed is 'A test in it counts as failed.';
comment on column raw_testmo.statuses.aliases is 'Words by which reporters name it, a list.';
comment on column raw_testmo.statuses.extra is
'Fields that the API sent and that have no column; null: none.';
comment on column raw_testmo.statuses.first_loaded_at is 'When a load first wrote this row, UTC.';
comment on column raw_testmo.statuses.loaded_at is 'When its content last changed here, UTC.';
comment on column raw_testmo.statuses.load_id is 'The load (ingest.loads) that wrote this content.';
