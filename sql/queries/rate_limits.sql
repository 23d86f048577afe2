-- The limits of an API key (ingest.rate_limits). One block a query, found by its name. Times are
-- epoch seconds on the way in and out; 0 stands for none.

-- name: add
-- A key that was never used before.
insert into ingest.rate_limits (api_root, key_digest)
values (%(api_root)s, %(key_digest)s)
on conflict do nothing;

-- name: read
-- As they stand, and the warehouse's own clock.
select
    version,
    extract(epoch from clock_timestamp())::double precision as now,
    window_limit,
    window_seconds,
    window_remaining,
    coalesce(extract(epoch from window_resets_at), 0)::double precision as window_resets_at,
    month_remaining,
    coalesce(extract(epoch from not_before), 0)::double precision as not_before,
    coalesce(extract(epoch from refused_at), 0)::double precision as refused_at,
    must_probe,
    coalesce(extract(epoch from probe_until), 0)::double precision as probe_until,
    late_seconds,
    spare,
    lowered_limit,
    coalesce(extract(epoch from learned_at), 0)::double precision as learned_at,
    sent,
    shares
from ingest.rate_limits
where api_root = %(api_root)s and key_digest = %(key_digest)s;

-- name: write
-- The next version, unless somebody else was faster; gives the warehouse's own clock.
update ingest.rate_limits
set
    version = version + 1,
    window_limit = %(window_limit)s,
    window_seconds = %(window_seconds)s,
    window_remaining = %(window_remaining)s,
    window_resets_at = to_timestamp(nullif(%(window_resets_at)s::double precision, 0)),
    month_remaining = %(month_remaining)s,
    not_before = to_timestamp(nullif(%(not_before)s::double precision, 0)),
    refused_at = to_timestamp(nullif(%(refused_at)s::double precision, 0)),
    must_probe = %(must_probe)s,
    probe_until = to_timestamp(nullif(%(probe_until)s::double precision, 0)),
    late_seconds = %(late_seconds)s,
    spare = %(spare)s,
    lowered_limit = %(lowered_limit)s,
    learned_at = to_timestamp(nullif(%(learned_at)s::double precision, 0)),
    sent = %(sent)s,
    shares = %(shares)s
where
    api_root = %(api_root)s
    and key_digest = %(key_digest)s
    and version = %(version)s
returning extract(epoch from clock_timestamp())::double precision as now;
