-- The ingest schema: watermarks, walks, loads, what is held of each run. One block a query,
-- found by its name.

-- name: take_lock
-- Whether this session now holds the lock of a source and scope.
select pg_try_advisory_lock(hashtextextended(%(lock_name)s, 0)) as taken;

-- name: wait_for_lock
-- As take_lock, but waits for as long as lock_timeout allows.
select pg_advisory_lock(hashtextextended(%(lock_name)s, 0));

-- name: lock_holder
-- The application name (host and process) of the session that holds the lock.
select activity.application_name
from pg_locks as held
inner join pg_stat_activity as activity on held.pid = activity.pid
inner join pg_database as databases on held.database = databases.oid
cross join hashtextextended(%(lock_name)s, 0) as lock_key
where
    held.locktype = 'advisory'
    and held.granted
    and databases.datname = current_database()
    and ((held.classid::bigint << 32) | held.objid::bigint) = lock_key
    and held.pid <> pg_backend_pid();

-- name: end_backend
-- End the backend of a session of ours that was lost on its way here.
select pg_terminate_backend(pid)
from pg_stat_activity
where pid = %(backend)s and application_name = %(name)s;

-- name: mark_interrupted_loads
-- Loads of this scope that never ended: whoever holds the lock now knows that they were killed.
update ingest.loads
set outcome = 'interrupted', error = 'killed; the next load went on from its last commit'
where source = %(source)s and scope = %(scope)s and outcome = 'running';

-- name: begin_load
-- A load's own row, before its first request.
insert into ingest.loads (source, scope, kind, window_from, window_to, watermark_before)
values (%(source)s, %(scope)s, %(kind)s, %(window_from)s, %(window_to)s, %(high_water)s)
returning load_id;

-- name: load_outcome
-- Whether a load still runs: the next load of its scope marks it as interrupted.
select outcome
from ingest.loads
where load_id = %(load_id)s;

-- name: update_load
-- What the load has done so far; committed with every batch.
update ingest.loads
set
    requests = %(requests)s,
    requests_total = %(requests_total)s,
    bytes_received = %(bytes_received)s,
    waited_seconds = %(waited_seconds)s,
    quota = coalesce(%(quota)s, quota),
    rows_written = %(rows_written)s,
    rows_rejected = %(rows_rejected)s,
    watermark_after = %(watermark_after)s
where load_id = %(load_id)s;

-- name: end_load
-- How it ended.
update ingest.loads
set finished_at = now(), outcome = %(outcome)s, error = %(error)s
where load_id = %(load_id)s;

-- name: read_watermark
-- How far a scope is read, and the walk that is under way.
select
    watermarks.high_water,
    watermarks.cursor,
    walks.started_at,
    walks.newest_seen,
    walks.page_earliest,
    walks.page_latest,
    walks.list_order,
    walks.runs_listed,
    walks.longest_page,
    walks.announced_total,
    walks.known_order,
    walks.filters
from ingest.watermarks as watermarks
inner join ingest.walks as walks using (source, scope)
where source = %(source)s and scope = %(scope)s;

-- name: save_watermark
-- The watermark and the walk, in the transaction of the rows that they stand for.
with watermark as (
    insert into ingest.watermarks as held (source, scope, high_water, cursor)
    values (%(source)s, %(scope)s, %(high_water)s, %(cursor)s)
    on conflict (source, scope) do update
        set high_water = excluded.high_water, cursor = excluded.cursor, updated_at = now()
        where (held.high_water, held.cursor) is distinct from (excluded.high_water, excluded.cursor)
)

insert into ingest.walks (
    source, scope, started_at, newest_seen, page_earliest, page_latest,
    list_order, runs_listed, longest_page, announced_total, known_order, filters
)
values (
    %(source)s, %(scope)s, %(started_at)s, %(newest_seen)s, %(page_earliest)s, %(page_latest)s,
    %(list_order)s, %(runs_listed)s, %(longest_page)s, %(announced_total)s, %(known_order)s,
    %(filters)s
)
on conflict (source, scope) do update
    set
        started_at = excluded.started_at,
        newest_seen = excluded.newest_seen,
        page_earliest = excluded.page_earliest,
        page_latest = excluded.page_latest,
        list_order = excluded.list_order,
        runs_listed = excluded.runs_listed,
        longest_page = excluded.longest_page,
        announced_total = excluded.announced_total,
        known_order = excluded.known_order,
        filters = excluded.filters;

-- name: run_states
-- What is held of the runs of a page; one that was not found and is listed again counts as changed.
-- Looked up one by one: a plan for all at once, made while the table is empty, is kept for all
-- of the load, and reads through every run of the source.
with listed as (select unnest(%(run_ids)s::text[]) as run_id)

select
    listed.run_id,
    held.listed_digest,
    held.is_open,
    held.is_due,
    held.whole_digest,
    held.lacks_results,
    held.is_deferred
from listed
cross join
    lateral (
        select
            known.is_open,
            case when known.gone_at is null then known.listed_digest end as listed_digest,
            case when known.results_digest is not null then known.content_digest end
                as whole_digest,
            known.content_digest is not null and known.results_digest is null as lacks_results,
            known.scope = %(scope)s
            and known.is_open
            and known.content_digest is null
            and known.gone_at is null as is_deferred,
            known.is_open
            and (known.next_check_at is null or known.next_check_at <= %(now)s) as is_due
        from ingest.run_states as known
        where known.source = %(source)s and known.run_id = listed.run_id
        order by known.run_id
        limit 1
    ) as held;

-- name: due_open_runs
-- Open runs of a scope that are to be requested by ID now: those first that were requested least.
select
    run_id,
    opened_at,
    content_digest is not null as is_loaded,
    case when results_digest is not null then content_digest end as whole_digest
from ingest.run_states
where
    source = %(source)s
    and scope = %(scope)s
    and is_open
    and gone_at is null
    and (next_check_at is null or next_check_at <= %(now)s)
order by unchanged_checks asc, opened_at desc nulls first, run_id asc;

-- name: content_digests
-- What of a batch is loaded already (digests of content and of test results), and the time that
-- all of its rows carry.
select
    now() as loaded_at,
    (
        select coalesce(jsonb_object_agg(batch.run_id, held.digests), '{}')
        from unnest(%(run_ids)s::text[]) as batch (run_id)
        cross join
            lateral (
                select
                    array[
                        encode(known.content_digest, 'hex'), encode(known.results_digest, 'hex')
                    ] as digests
                from ingest.run_states as known
                where
                    known.source = %(source)s
                    and known.run_id = batch.run_id
                    and known.content_digest is not null
                order by known.run_id
                limit 1
            ) as held
    ) as digests;

-- name: save_run_states
-- What is now held of each run of a batch. An open run that has not changed is requested again
-- after a tenth of its age at most, and sooner at first: an hour, two hours, four …
insert into ingest.run_states as held (
    source, run_id, scope, listed_digest, content_digest, results_digest, is_open, opened_at,
    backfill_id, unchanged_checks
)
select
    %(source)s,
    batch.run_id,
    %(scope)s,
    batch.listed_digest,
    batch.content_digest,
    batch.results_digest,
    batch.is_open,
    batch.opened_at,
    case when batch.is_seen then %(backfill_id)s::bigint end as seen_by_backfill_id,
    -- One that was not requested has been checked once less than the others of its age.
    case when batch.was_requested then 0 else -1 end as checks_missed
from
    unnest(
        %(run_ids)s::text[],
        %(listed_digests)s::bytea[],
        %(content_digests)s::bytea[],
        %(results_digests)s::bytea[],
        %(are_open)s::boolean[],
        %(opened_at)s::timestamptz[],
        %(are_seen)s::boolean[],
        %(were_requested)s::boolean[]
    ) as batch (
        run_id, listed_digest, content_digest, results_digest, is_open, opened_at, is_seen,
        was_requested
    )
on conflict (source, run_id) do update
    set
        scope = excluded.scope,
        -- A run requested by ID keeps what the list said of it.
        listed_digest = coalesce(excluded.listed_digest, held.listed_digest),
        content_digest = coalesce(excluded.content_digest, held.content_digest),
        -- Results that were not read stay as they are; they are not those of another content.
        results_digest = case
            when excluded.content_digest <> held.content_digest then excluded.results_digest
            else coalesce(excluded.results_digest, held.results_digest)
        end,
        -- An open run that could not be parsed this time is requested again.
        is_open = excluded.is_open
        or (held.is_open and held.content_digest is not null and excluded.content_digest is null),
        opened_at = coalesce(excluded.opened_at, held.opened_at),
        gone_at = null,
        backfill_id = coalesce(excluded.backfill_id, held.backfill_id),
        unchanged_checks = case
            when excluded.is_open and held.content_digest = excluded.content_digest
                then held.unchanged_checks + 1
            -- Deferred once more, still without a row.
            when excluded.is_open and coalesce(held.content_digest, excluded.content_digest) is null
                then held.unchanged_checks + 1 + excluded.unchanged_checks
            else 0
        end,
        next_check_at = case
            when excluded.is_open and held.content_digest = excluded.content_digest
                then now() + least(
                    greatest(now() - coalesce(excluded.opened_at, now()), interval '0') / 10,
                    interval '1 hour' * power(2, least(held.unchanged_checks, 16))
                )
        end
    -- A run that has ended and is as it was costs no new row.
    where
    held.is_open
    or excluded.is_open
    or held.gone_at is not null
    or (
        held.scope,
        held.listed_digest,
        held.content_digest,
        held.results_digest,
        held.opened_at,
        held.backfill_id
    ) is distinct from (
        excluded.scope,
        coalesce(excluded.listed_digest, held.listed_digest),
        coalesce(excluded.content_digest, held.content_digest),
        coalesce(excluded.results_digest, held.results_digest),
        coalesce(excluded.opened_at, held.opened_at),
        coalesce(excluded.backfill_id, held.backfill_id)
    );

-- name: save_reconciliations
-- Where the totals that runs announce are not what their rows come to; what agrees now is settled.
with announcing as (
    select *
    from
        unnest(
            %(run_ids)s::text[],
            %(totals)s::text[],
            %(announced)s::bigint[],
            %(loaded)s::bigint[],
            %(are_open)s::boolean[]
        ) as announcing (run_id, total, announced, loaded, is_open)
),

repeats as (
    select
        runs.run_id,
        count(distinct repeated.execution_index) as requests,
        count(assertions.run_id) as assertions,
        count(assertions.run_id) filter (where not assertions.passed) as failures
    from (select distinct announcing.run_id from announcing) as runs
    cross join lateral ingest.repeated_executions(runs.run_id) as repeated
    left join raw_postman.assertions as assertions
        on
            runs.run_id = assertions.run_id
            and repeated.execution_index = assertions.execution_index
    where %(source)s = 'postman' -- noqa: RF02
    group by runs.run_id
),

counted as (
    select
        announcing.*,
        coalesce(
            case announcing.total
                when 'requests_total' then repeats.requests
                when 'assertions_total' then repeats.assertions
                when 'assertions_failed' then repeats.failures
            end,
            0
        ) as repeated
    from announcing
    left join repeats on announcing.run_id = repeats.run_id
),

differing as (
    select
        *,
        case
            when loaded - announced between 1 and repeated then 'repeated'
            when is_open then 'open'
            when loaded < announced then 'missing'
            else 'surplus'
        end as reason
    from counted
),

settled as (
    delete from ingest.reconciliations as held
    where
        held.source = %(source)s
        and held.run_id = any(%(compared)s)
        and not exists (
            select from differing
            where differing.run_id = held.run_id and differing.total = held.total
        )
)

insert into ingest.reconciliations as held (
    source, scope, run_id, total, announced, loaded, repeated, reason, load_id
)
select
    %(source)s,
    %(scope)s,
    differing.run_id,
    differing.total,
    differing.announced,
    differing.loaded,
    differing.repeated,
    differing.reason,
    %(load_id)s as comparing_load_id
from differing
on conflict (source, run_id, total) do update
    set
        scope = excluded.scope,
        announced = excluded.announced,
        loaded = excluded.loaded,
        repeated = excluded.repeated,
        reason = excluded.reason,
        load_id = excluded.load_id,
        checked_at = now()
    where
    held.announced <> excluded.announced
    or held.loaded <> excluded.loaded
    or held.repeated <> excluded.repeated
    or held.reason <> excluded.reason;

-- name: save_not_found
-- Open runs that the API no longer knows are not requested again.
update ingest.run_states
set gone_at = now()
where source = %(source)s and run_id = any(%(not_found)s) and gone_at is null;

-- name: save_rejected
-- Records set aside, once for each payload. Payloads are sent in binary: an array as text has each
-- quote escaped, at a hundred bytes of memory a quote.
insert into ingest.rejected_records as held (
    source, scope, endpoint, run_id, payload, payload_digest, error, load_id, last_load_id
)
select
    %(source)s,
    %(scope)s,
    record.endpoint,
    record.run_id,
    record.payload,
    record.payload_digest,
    record.error,
    %(load_id)s as first_load_id,
    %(load_id)s as last_load_id
from
    unnest(
        %(endpoints)s::text[],
        %(run_ids)s::text[],
        %(payloads)b::text[],
        %(payload_digests)s::bytea[],
        %(errors)s::text[]
    ) as record (endpoint, run_id, payload, payload_digest, error)
on conflict (source, scope, endpoint, run_id, payload_digest) do update
    set
        last_load_id = excluded.last_load_id,
        error = excluded.error,
        -- What was settled and comes again is not settled any more.
        retry_outcome = case
            when held.retry_outcome not in ('loaded', 'superseded') then held.retry_outcome
        end;

-- name: is_missing_endpoint
select last_missed_at
from ingest.missing_endpoints
where source = %(source)s and endpoint = %(endpoint)s;

-- name: save_missing_endpoint
-- An endpoint that the API does not have.
insert into ingest.missing_endpoints (source, endpoint, error)
values (%(source)s, %(endpoint)s, %(error)s)
on conflict (source, endpoint) do update
    set error = excluded.error, last_missed_at = now();

-- name: forget_missing_endpoint
-- It answers.
delete from ingest.missing_endpoints
where source = %(source)s and endpoint = %(endpoint)s;

-- name: save_unknown_fields
-- Fields without a column, a row each.
insert into ingest.unknown_fields (source, table_name, field, first_load_id)
select
    %(source)s,
    seen.table_name,
    seen.field,
    %(load_id)s as first_load_id
from unnest(%(tables)s::text[], %(fields)s::text[]) as seen (table_name, field)
on conflict do nothing;

-- name: column_types
-- The type of each column of the raw tables, by table.
select
    classes.oid::regclass::text as table_name,
    jsonb_object_agg(
        columns.attname, coalesce(elements.typname || '[]', types.typname)
    ) as types
from pg_class as classes
inner join pg_attribute as columns on classes.oid = columns.attrelid
inner join pg_type as types on columns.atttypid = types.oid
left join pg_type as elements on types.typelem = elements.oid and types.typcategory = 'A'
where
    classes.relnamespace::regnamespace::text ~ '^raw_'
    and classes.relkind = 'r'
    and columns.attnum > 0
    and not columns.attisdropped
group by classes.oid;

-- name: begin_backfill
-- A backfill's own row; it goes on with one of the same window that did not end within a day.
with unfinished as (
    select backfill_id
    from ingest.loads
    where
        source = %(source)s
        and scope = %(scope)s
        and kind = 'backfill'
        and window_from = %(since)s
        and window_to is not distinct from %(until)s
        and outcome <> 'succeeded'
        and started_at > now() - interval '1 day'
    order by load_id desc
    limit 1
),

begun as (
    insert into ingest.loads (source, scope, kind, window_from, window_to, watermark_before)
    values (%(source)s, %(scope)s, 'backfill', %(since)s, %(until)s, %(high_water)s)
    returning load_id
)

select
    begun.load_id,
    coalesce(unfinished.backfill_id, begun.load_id) as backfill_id
from begun
left join unfinished on true;

-- name: save_backfill_id
-- Which backfill a load belongs to.
update ingest.loads
set backfill_id = %(backfill_id)s
where load_id = %(load_id)s;

-- name: seen_by_backfill
-- Which of these runs the backfill has seen already.
with listed as (select unnest(%(run_ids)s::text[]) as run_id)

select listed.run_id
from listed
cross join
    lateral (
        select known.run_id
        from ingest.run_states as known
        where
            known.source = %(source)s
            and known.run_id = listed.run_id
            and known.backfill_id = %(backfill_id)s
        order by known.run_id
        limit 1
    ) as held;

-- name: unseen_runs
-- Runs of the window that the backfill has not seen: they may be gone at the source. A run that
-- never started belongs to every window that reaches up to now.
select run_id
from ingest.run_states
where
    source = %(source)s
    and scope = %(scope)s
    and (
        (opened_at >= %(since)s and opened_at < %(until)s)
        or (opened_at is null and %(reaches_now)s)
    )
    and backfill_id is distinct from %(backfill_id)s
    and (gone_at is null or is_open)
order by opened_at, run_id;

-- name: save_deleted
-- A run that is gone for good; should it return, the list counts it as new.
update ingest.run_states
set listed_digest = null, is_open = false, gone_at = coalesce(gone_at, now())
where source = %(source)s and run_id = any(%(run_ids)s);

-- name: supersede_rejected
-- What was set aside of a run is settled once a version of the run has been loaded.
update ingest.rejected_records
set retry_outcome = 'superseded'
where
    source = %(source)s
    and run_id = any(%(superseded)s)
    and (retry_outcome is null or retry_outcome not in ('loaded', 'superseded'));

-- name: begin_reparse
-- The row of a load that parses rejected records again.
insert into ingest.loads (source, scope, kind, watermark_before)
values (%(source)s, %(scope)s, 'retry', %(high_water)s)
returning load_id;

-- name: rejected_records
-- What of a scope was set aside and is not settled, in the order in which it came.
select
    rejected_id,
    endpoint,
    run_id,
    payload
from ingest.rejected_records
where
    source = %(source)s
    and scope = %(scope)s
    and rejected_id > %(after)s
    and (retry_outcome is null or retry_outcome not in ('loaded', 'superseded'))
order by rejected_id
limit 50;

-- name: save_reparsed
-- What became of records that were parsed again; a later version of the run has settled them.
update ingest.rejected_records as held
set
    retried_at = now(),
    retry_outcome = case
        when held.retry_outcome = 'superseded' and reparsed.outcome <> 'loaded'
            then held.retry_outcome
        else reparsed.outcome
    end
from unnest(%(rejected_ids)s::bigint[], %(outcomes)s::text[]) as reparsed (rejected_id, outcome)
where held.rejected_id = reparsed.rejected_id;
