-- Runs that come as report files (JUnit XML, CTRF): a run, its test results, their attempts. And
-- what the import knows of its own work: files offered, parts of runs, the code that was tested.

create schema if not exists raw_reports;

create table raw_reports.runs (
    run_id text not null,
    source text not null,
    format text not null,
    name text,
    started_at timestamptz,
    finished_at timestamptz,
    duration_ms bigint,
    tests_total bigint,
    tests_failed bigint,
    tests_skipped bigint,
    environment text,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    deleted_at timestamptz,
    primary key (run_id)
);
create index runs_loaded_at on raw_reports.runs (loaded_at);
comment on table raw_reports.runs is
'One row a run from JUnit or CTRF files; the files of one CI job are one run.';
comment on column raw_reports.runs.run_id is
'A prefix and a UUIDv5 of what the run itself says, or of its CI job.';
comment on column raw_reports.runs.source is
'What made it: the tool as it names itself, newman-junit, or as given with --source.';
comment on column raw_reports.runs.format is 'junit or ctrf.';
comment on column raw_reports.runs.name is 'Name of the report or of its only suite; null: none.';
comment on column raw_reports.runs.started_at is
'UTC, also without a zone; extra.timeGuessed: the file''s time less its duration.';
comment on column raw_reports.runs.finished_at is 'UTC; as started_at.';
comment on column raw_reports.runs.duration_ms is 'Milliseconds, as announced.';
comment on column raw_reports.runs.tests_total is 'Test results, as announced; null: not told.';
comment on column raw_reports.runs.tests_failed is
'Failures and errors, as announced; null: not told.';
comment on column raw_reports.runs.tests_skipped is 'Skipped tests, as announced; null: not told.';
comment on column raw_reports.runs.environment is
'Environment it ran in, as the report or --environment names it; null: not told.';
comment on column raw_reports.runs.extra is 'What else is known of the run; null: nothing.';
comment on column raw_reports.runs.first_loaded_at is 'When an import first wrote this row, UTC.';
comment on column raw_reports.runs.loaded_at is
'When the content of this run, children included, last changed here, UTC.';
comment on column raw_reports.runs.load_id is
'The import (ingest.loads) that wrote this content.';
comment on column raw_reports.runs.deleted_at is
'UTC; always null: a run that came as a file is never gone.';

create table raw_reports.tests (
    run_id text not null,
    test_index integer not null,
    suite_path text[] not null,
    class_name text,
    name text,
    status text not null,
    duration_ms double precision,
    message text,
    type text,
    file text,
    extra jsonb,
    primary key (run_id, test_index)
);
comment on table raw_reports.tests is 'One row a test result.';
comment on column raw_reports.tests.run_id is 'The run.';
comment on column raw_reports.tests.test_index is '0-based order in the run.';
comment on column raw_reports.tests.suite_path is 'Names of the suites around it, outermost first.';
comment on column raw_reports.tests.class_name is
'Class, or what the tool puts in its place; null: none.';
comment on column raw_reports.tests.name is 'Name of the test; may be empty, repeated or null.';
comment on column raw_reports.tests.status is
'passed, failed, errored, skipped or other; the outcome of its last attempt.';
comment on column raw_reports.tests.duration_ms is
'Milliseconds; null: no readable time (as written in extra.time).';
comment on column raw_reports.tests.message is 'Why it failed or was skipped; null: not told.';
comment on column raw_reports.tests.type is 'Type of the failure or skip, as an exception''s name.';
comment on column raw_reports.tests.file is 'Source file, as the report names it.';
comment on column raw_reports.tests.extra is
'What else is known: occurrence, flaky (failed, then passed in this run), …; null: nothing.';

create table raw_reports.attempts (
    run_id text not null,
    test_index integer not null,
    attempt integer not null,
    status text not null,
    duration_ms double precision,
    message text,
    type text,
    primary key (run_id, test_index, attempt)
);
comment on table raw_reports.attempts is
'One row an attempt of a test that was tried more than once in its run, the deciding one last.';
comment on column raw_reports.attempts.run_id is 'The run.';
comment on column raw_reports.attempts.test_index is 'The test result in the run, 0-based.';
comment on column raw_reports.attempts.attempt is 'Number of the attempt, from 1 on.';
comment on column raw_reports.attempts.status is 'passed, failed, errored, skipped or other.';
comment on column raw_reports.attempts.duration_ms is 'Milliseconds; null: not told.';
comment on column raw_reports.attempts.message is 'Why it failed; null: not told.';
comment on column raw_reports.attempts.type is 'Type of the failure; null: not told.';

create table ingest.imported_files (
    digest text not null,
    path text not null,
    kind text,
    size_bytes bigint,
    run_id text,
    outcome text not null,
    reason text,
    imported_at timestamptz not null default now(),
    first_outcome text not null,
    first_offered_at timestamptz not null default now()
);
-- A path may be longer than what an index holds.
create unique index imported_files_by_file on ingest.imported_files (digest, md5(path));
create index imported_files_by_run on ingest.imported_files (run_id);
comment on table ingest.imported_files is 'One row a file that was offered to testruns import.';
comment on column ingest.imported_files.digest is
'SHA-256 of the file as it is on disk, in hexadecimal; empty: it could not be read.';
comment on column ingest.imported_files.path is 'Where it lay, as offered.';
comment on column ingest.imported_files.kind is
'newman, newman-summary, postman-cli, postman-export, junit, ctrf; null: not recognised.';
comment on column ingest.imported_files.size_bytes is 'Bytes on disk.';
comment on column ingest.imported_files.run_id is 'The run that it holds; null: rejected.';
comment on column ingest.imported_files.outcome is
'When last offered: loaded, known (nothing new), replaced (richer), poorer (refused), rejected.';
comment on column ingest.imported_files.reason is 'Why it was refused or rejected; null: neither.';
comment on column ingest.imported_files.imported_at is 'When it was last offered, UTC.';
comment on column ingest.imported_files.first_outcome is 'The outcome when it was first offered.';
comment on column ingest.imported_files.first_offered_at is 'When it was first offered, UTC.';

create table ingest.report_parts (
    run_id text not null,
    part integer not null,
    system text not null,
    kind text not null,
    name text not null,
    content_digest bytea not null,
    lookalike text not null,
    follows_job boolean not null,
    newest timestamptz,
    refs bytea[] not null,
    first_index integer not null,
    results bigint not null,
    details bigint not null,
    run jsonb not null,
    totals jsonb not null,
    collection_name text,
    postman_id text,
    primary key (run_id, part)
);
create index report_parts_by_lookalike on ingest.report_parts (lookalike);
create index report_parts_by_postman_id on ingest.report_parts (postman_id)
where postman_id is not null;
create index report_parts_by_collection_name on ingest.report_parts (collection_name)
where collection_name is not null;
comment on table ingest.report_parts is
'What is held of each imported run: one row a file that is part of it.';
comment on column ingest.report_parts.run_id is 'The run.';
comment on column ingest.report_parts.part is '0-based order of the parts in the run.';
comment on column ingest.report_parts.system is
'postman (rows in raw_postman) or reports (rows in raw_reports).';
comment on column ingest.report_parts.kind is 'As ingest.imported_files.kind.';
comment on column ingest.report_parts.name is
'What the part calls itself (a shard), or its file''s path below the folder that was offered.';
comment on column ingest.report_parts.content_digest is 'BLAKE2b of the part''s rows.';
comment on column ingest.report_parts.lookalike is
'Equal for another file of the same run, richer or poorer, whatever its run_id.';
comment on column ingest.report_parts.follows_job is 'The run_id is that of its CI job.';
comment on column ingest.report_parts.newest is
'Latest time in the file, or when it was written, UTC.';
comment on column ingest.report_parts.refs is
'Digests of IDs made anew for each execution, some hundred of them: two runs share none.';
comment on column ingest.report_parts.first_index is 'Index of its first child row in the run.';
comment on column ingest.report_parts.results is 'Its executions, or test results.';
comment on column ingest.report_parts.details is 'Its assertions, or attempts.';
comment on column ingest.report_parts.run is 'The columns of the run as this part has them.';
comment on column ingest.report_parts.totals is
'Totals that it announces, with what its rows come to.';
comment on column ingest.report_parts.collection_name is
'Name of the Postman collection; null: not from newman or Postman.';
comment on column ingest.report_parts.postman_id is
'The collection''s ID as the file has it, which newman may have made up; null: none.';

create table ingest.code_identities (
    source text not null,
    run_id text not null,
    commit_sha text,
    merge_sha text,
    branch text,
    pipeline_id text,
    pipeline_attempt text,
    build_url text,
    code_digest text,
    updated_at timestamptz not null default now(),
    primary key (source, run_id)
);
create index code_identities_by_commit on ingest.code_identities (commit_sha)
where commit_sha is not null;
comment on table ingest.code_identities is
'Which code a run tested: one row a run of which anything is known.';
comment on column ingest.code_identities.source is
'postman (raw_postman) or reports (raw_reports): where the run stands.';
comment on column ingest.code_identities.run_id is 'The run''s ID as text.';
comment on column ingest.code_identities.commit_sha is
'Commit that was tested: on a pull request the head of its branch; null: not known.';
comment on column ingest.code_identities.merge_sha is
'Commit that CI made of branch and target, where it tested that one; null: none.';
comment on column ingest.code_identities.branch is 'Branch or tag, without refs/ and origin/.';
comment on column ingest.code_identities.pipeline_id is 'The CI system''s ID of the pipeline.';
comment on column ingest.code_identities.pipeline_attempt is 'Which attempt of it; null: not told.';
comment on column ingest.code_identities.build_url is 'Its page, without user and password.';
comment on column ingest.code_identities.code_digest is
'SHA-256 of the tests themselves (names, methods, URL templates, scripts of a Postman collection).';
comment on column ingest.code_identities.updated_at is 'When this row last changed, UTC.';
