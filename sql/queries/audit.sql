-- An audit: what the lists show against what is held. One block a query, found by its name.
-- noqa: disable=RF02

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
        (array_agg(shown.listed_digest order by shown.listed_digest))[1] as listed_digest
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
        coalesce(held.listed_digest <> listed.listed_digest, false)
        or (
            %(reads_results)s and held.content_digest is not null and held.results_digest is null
        ) as is_changed
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
-- The next runs that are not held as the API has them, behind one by ID: missing, changed, set
-- aside, or with fewer rows than they announce. A server that lied about the last two has healed
-- perhaps; one request a run and audit finds out.
select
    shown.run_id,
    (array_agg(shown.listed_digest order by shown.listed_digest))[1] as listed_digest,
    bool_and(held.content_digest is null and rejected.run_id is null) as is_missing
from ingest.audited_runs as shown
left join ingest.run_states as held
    on held.source = %(source)s and shown.run_id = held.run_id
left join lateral (
    select aside.run_id
    from ingest.rejected_records as aside
    where
        aside.source = %(source)s
        and aside.run_id = shown.run_id
        and coalesce(aside.retry_outcome, '') not in ('loaded', 'superseded')
    order by aside.rejected_id
    limit 1
) as rejected on true
where
    shown.load_id = %(load_id)s
    and shown.run_id > %(after)s
    and (
        held.content_digest is null
        or rejected.run_id is not null
        or held.listed_digest <> shown.listed_digest
        or (%(reads_results)s and held.results_digest is null)
        or exists (
            select from ingest.reconciliations as differing
            where
                differing.source = %(source)s
                and differing.run_id = shown.run_id
                and differing.reason = 'missing'
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

-- name: due_scopes
-- Scopes of a source whose whole history was not proven complete for four weeks, the longest ago
-- first: as many as a twentieth of a night's share of the month's calls allows, and at least one.
with scopes as (
    select
        scopes.scope,
        (
            select max(audits.audited_at)
            from ingest.audits as audits
            where
                audits.source = %(source)s -- noqa: RF02
                and audits.scope = scopes.scope
                and audits.since is null
                and audits.is_complete
        ) as proven_at,
        (
            select 2 + count(*) / 100
            from ingest.run_states as held
            where held.source = %(source)s and held.scope = scopes.scope -- noqa: RF02
        ) as requests
    from unnest(%(scopes)s::text[]) as scopes (scope) -- noqa: RF02
),

due as (
    select
        scopes.scope,
        row_number() over in_turn as place,
        sum(scopes.requests) over in_turn as requests
    from scopes
    where coalesce(scopes.proven_at < now() - interval '28 days', true)
    window in_turn as (order by scopes.proven_at nulls first, scopes.scope)
),

budget as (
    select 0.05 * max((loads.quota ->> 'month_limit')::numeric) / 30 as requests
    from ingest.loads as loads
    where loads.source = %(source)s and loads.started_at > now() - interval '7 days' -- noqa: RF02
)

select due.scope
from due
cross join budget
where due.place = 1 or coalesce(due.requests <= budget.requests, true)
order by due.place;
