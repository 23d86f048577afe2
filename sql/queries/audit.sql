-- An audit: what the lists show against what is held. One block a query, found by its name.

-- name: forget_listed
-- Of audits of this scope, this one and those that were killed.
delete from ingest.audited_runs
where
    load_id in (
        select loads.load_id
        from ingest.loads as loads
        where loads.source = %(source)s and loads.scope = %(scope)s and loads.kind = 'audit'
    );

-- name: compare
-- Counts of runs; a run that was shown twice counts once. Set-aside records are here as well.
with listed as (
    select
        shown.run_id,
        min(shown.listed_digest) as listed_digest
    from ingest.audited_runs as shown
    where shown.load_id = %(load_id)s
    group by shown.run_id
),

compared as (
    select
        coalesce(
            held.content_digest is not null
            or exists (
                select from ingest.rejected_records as rejected
                where rejected.source = %(source)s and rejected.run_id = listed.run_id
            ),
            false
        ) as is_here,
        coalesce(held.listed_digest <> listed.listed_digest, false) as is_changed
    from listed
    left join ingest.run_states as held
        on held.source = %(source)s and listed.run_id = held.run_id
)

select
    count(*) as listed,
    count(*) filter (where compared.is_here) as loaded,
    count(*) filter (where not compared.is_here) as missing,
    count(*) filter (where compared.is_here and compared.is_changed) as changed,
    (
        select count(*)
        from ingest.run_states as held
        where
            not %(is_filtered)s
            and held.source = %(source)s
            and held.scope = %(scope)s
            and held.content_digest is not null
            and held.gone_at is null
            and (%(since)s::timestamptz is null or held.opened_at >= %(since)s)
            and not exists (
                select from ingest.audited_runs as shown
                where shown.load_id = %(load_id)s and shown.run_id = held.run_id
            )
    ) as gone
from compared;

-- name: to_fix
-- The next runs that are missing or changed, behind one by ID.
select
    shown.run_id,
    min(shown.listed_digest) as listed_digest
from ingest.audited_runs as shown
left join ingest.run_states as held
    on held.source = %(source)s and shown.run_id = held.run_id
where
    shown.load_id = %(load_id)s
    and shown.run_id > %(after)s
    and (
        held.listed_digest <> shown.listed_digest
        or (
            held.content_digest is null
            and not exists (
                select from ingest.rejected_records as rejected
                where rejected.source = %(source)s and rejected.run_id = shown.run_id -- noqa: RF02
            )
        )
    )
group by shown.run_id
order by shown.run_id
limit %(most)s;

-- name: save_audit
insert into ingest.audits (
    source, scope, load_id, since, audited_at,
    listed, loaded, missing, changed, gone, fixed, is_complete, error
)
values (
    %(source)s, %(scope)s, %(load_id)s, %(since)s, %(audited_at)s,
    %(listed)s, %(loaded)s, %(missing)s, %(changed)s, %(gone)s, %(fixed)s,
    %(is_complete)s, %(error)s
);

-- name: last_audits
-- The last audit of each scope that compared all of its history.
select distinct on (source, scope)
    source,
    scope,
    audited_at,
    listed,
    loaded,
    missing,
    changed,
    gone,
    fixed,
    is_complete,
    error
from ingest.audits
where since is null
order by source asc, scope asc, audit_id desc;
