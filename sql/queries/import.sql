-- What an import of report files reads and writes in ingest. One block a query, found by its name.

-- name: lock_runs
-- Wait for other imports of these runs; held until the transaction ends.
select pg_advisory_xact_lock(hashtextextended('testruns import ' || keys.key, 0)) -- noqa: RF02
from unnest(%(keys)s::text[]) as keys (key)
order by keys.key;

-- name: mark_interrupted_imports
-- Imports that never ended, and whose session is gone.
update ingest.loads
set outcome = 'interrupted', error = 'killed; what it had committed stays'
where
    source = 'reports'
    and outcome = 'running'
    and pg_try_advisory_xact_lock(hashtextextended('testruns import load ' || load_id, 0));

-- name: begin_import
-- An import's own row; its lock, held by the session, shows that it is alive.
with begun as (
    insert into ingest.loads (source, scope, kind) values ('reports', 'files', 'import')
    returning load_id
)

select
    begun.load_id,
    pg_advisory_lock(hashtextextended('testruns import load ' || begun.load_id, 0)) as held
from begun;

-- name: update_import
-- What the import has done so far; committed with every run.
update ingest.loads
set rows_written = %(rows_written)s, rows_rejected = %(rows_rejected)s
where load_id = %(load_id)s;

-- name: end_import
-- How it ended.
update ingest.loads
set finished_at = now(), outcome = %(outcome)s, error = %(error)s
where load_id = %(load_id)s;

-- name: parts
-- What is held of a run.
select
    part,
    system,
    kind,
    name,
    content_digest,
    lookalike,
    follows_job,
    newest,
    refs,
    first_index,
    results,
    details,
    run,
    totals,
    collection_name,
    postman_id
from ingest.report_parts
where run_id = %(run_id)s
order by part;

-- name: lookalikes
-- Runs that hold a part of the same content, or the same newman run richer or poorer.
select
    run_id,
    follows_job,
    refs
from ingest.report_parts
where lookalike = %(lookalike)s
order by run_id;

-- name: delete_parts
-- Before a run's parts are written anew.
delete from ingest.report_parts
where run_id = %(run_id)s;

-- name: save_part
-- A part of a run.
insert into ingest.report_parts (
    run_id, part, system, kind, name, content_digest, lookalike, follows_job, newest, refs,
    first_index, results, details, run, totals, collection_name, postman_id
)
values (
    %(run_id)s, %(part)s, %(system)s, %(kind)s, %(name)s, %(content_digest)s, %(lookalike)s,
    %(follows_job)s, %(newest)s, %(refs)s, %(first_index)s, %(results)s, %(details)s, %(run)s,
    %(totals)s, %(collection_name)s, %(postman_id)s
);

-- name: save_run_state
-- What is held of the run, as merging it needs to know.
insert into ingest.run_states as held (
    source, run_id, scope, content_digest, is_open, opened_at
)
values ('reports', %(run_id)s, %(scope)s, %(content_digest)s, false, %(opened_at)s)
on conflict (source, run_id) do update
    set
        scope = excluded.scope,
        content_digest = excluded.content_digest,
        opened_at = excluded.opened_at;

-- name: forget_run
-- A run that is held under a better ID now.
with parts as (
    delete from ingest.report_parts
    where run_id = %(run_id)s
),

states as (
    delete from ingest.run_states
    where source = 'reports' and run_id = %(run_id)s
),

codes as (
    delete from ingest.code_identities
    where source = %(system)s and run_id = %(run_id)s
),

totals as (
    delete from ingest.reconciliations
    where source = %(system)s and run_id = %(run_id)s
)

update ingest.imported_files
set run_id = %(new_run_id)s
where run_id = %(run_id)s;

-- name: save_code_identity
-- What is known of the code; what a poorer source does not know is kept. A row: it has changed.
insert into ingest.code_identities as held (
    source, run_id, commit_sha, merge_sha, branch, pipeline_id, pipeline_attempt, build_url,
    code_digest
)
values (
    %(system)s, %(run_id)s, %(commit_sha)s, %(merge_sha)s, %(branch)s, %(pipeline_id)s,
    %(pipeline_attempt)s, %(build_url)s, %(code_digest)s
)
on conflict (source, run_id) do update
    set
        commit_sha = excluded.commit_sha,
        merge_sha = excluded.merge_sha,
        branch = excluded.branch,
        pipeline_id = excluded.pipeline_id,
        pipeline_attempt = excluded.pipeline_attempt,
        build_url = excluded.build_url,
        code_digest = excluded.code_digest,
        updated_at = now()
    where
    (
        held.commit_sha, held.merge_sha, held.branch, held.pipeline_id, held.pipeline_attempt,
        held.build_url, held.code_digest
    ) is distinct from (
        excluded.commit_sha, excluded.merge_sha, excluded.branch, excluded.pipeline_id,
        excluded.pipeline_attempt, excluded.build_url, excluded.code_digest
    )
returning run_id;

-- name: code_identity
-- What is known of a run's code.
select
    commit_sha,
    merge_sha,
    branch,
    pipeline_id,
    pipeline_attempt,
    build_url,
    code_digest
from ingest.code_identities
where source = %(system)s and run_id = %(run_id)s;

-- name: other_runs_of_collection
-- Whether another run has shown this collection ID: an import's, or one of the API's (its UID
-- ends in the ID).
select
    exists (
        select from ingest.report_parts
        where postman_id = %(postman_id)s and run_id <> %(run_id)s
    )
    or exists (
        select from raw_postman.collection_runs
        where
            run_id <> %(run_id)s
            and (
                collection_id = %(postman_id)s
                or (
                    right(collection_id, length(%(postman_id)s) + 1) = '-' || %(postman_id)s
                )
            )
    ) as is_shown;

-- name: settle_collection
-- An ID that a second run shows is the collection's own: the first one has it as well from now on.
update raw_postman.collection_runs as runs
set
    collection_id = %(postman_id)s,
    extra = nullif(runs.extra - 'collectionIdGuessed', '{}'),
    loaded_at = now(),
    load_id = %(load_id)s
from ingest.report_parts as parts
where
    parts.postman_id = %(postman_id)s
    and runs.run_id = parts.run_id
    and runs.extra ? 'collectionIdGuessed';

-- name: supersede_junit
-- A run of newman's JUnit reporter says less than the JSON report of the same run.
update raw_reports.runs as junit
set
    extra = coalesce(junit.extra, '{}') || jsonb_build_object('supersededBy', newman.run_id),
    loaded_at = now(),
    load_id = %(load_id)s
from ingest.report_parts as parts
inner join ingest.report_parts as newman
    on
        parts.collection_name = newman.collection_name
        and newman.system = 'postman'
inner join raw_postman.collection_runs as runs on newman.run_id = runs.run_id
where
    parts.collection_name = %(collection_name)s
    and parts.system = 'reports'
    and junit.run_id = parts.run_id
    and junit.started_at between
    runs.started_at - interval '1 second' and runs.started_at + interval '1 second'
    and junit.extra ->> 'supersededBy' is distinct from newman.run_id;

-- name: touch_postman_run
-- Something that belongs to the run has changed.
update raw_postman.collection_runs
set loaded_at = now(), load_id = %(load_id)s
where run_id = %(run_id)s;

-- name: touch_reports_run
-- Something that belongs to the run has changed.
update raw_reports.runs
set loaded_at = now(), load_id = %(load_id)s
where run_id = %(run_id)s;

-- name: save_file
-- A file that was offered, once for each place and content.
insert into ingest.imported_files as held (
    digest, path, kind, size_bytes, modified_at, run_id, outcome, reason, is_foreign, first_outcome
)
values (
    %(digest)s, %(path)s, %(kind)s, %(size_bytes)s, %(modified_at)s, %(run_id)s, %(outcome)s,
    %(reason)s, %(is_foreign)s, %(outcome)s
)
on conflict (digest, md5(path)) do update
    set
        kind = excluded.kind,
        size_bytes = excluded.size_bytes,
        modified_at = excluded.modified_at,
        run_id = excluded.run_id,
        outcome = excluded.outcome,
        reason = excluded.reason,
        is_foreign = excluded.is_foreign,
        imported_at = now();

-- name: known_files
-- The files below a folder (its path ends with a slash) as they were last offered.
select distinct on (path)
    path,
    size_bytes,
    modified_at,
    imported_at,
    outcome,
    reason,
    is_foreign
from ingest.imported_files
where starts_with(path, %(folder)s)
order by path asc, imported_at desc;
