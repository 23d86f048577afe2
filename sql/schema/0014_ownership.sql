-- Who owns which scopes and tests.

create table ingest.ownership (
    line integer primary key,
    system text,
    scope_pattern text,
    test_pattern text,
    owner text not null,
    channel text
);
comment on table ingest.ownership is
'The lines of TESTRUNS_OWNERSHIP_FILE as the last build read them; empty where none is set.';
comment on column ingest.ownership.line is
'Line of the file; of several lines that match, the one with the lowest number counts.';
comment on column ingest.ownership.system is 'The only system that is meant; null: any.';
comment on column ingest.ownership.scope_pattern is
'ILIKE pattern of the ID or the name of collections and projects; null: any.';
comment on column ingest.ownership.test_pattern is
'ILIKE pattern of the full name of tests; null: the scope as a whole, and all its tests.';
comment on column ingest.ownership.owner is 'The team.';
comment on column ingest.ownership.channel is 'Where the team wants to be told; null: nowhere.';

-- Used by the marts and by alerts, which may name a scope before any run of it is loaded. One line
-- at most; null as the test: the scope as a whole.
create function ingest.owner_of(system text, scope_id text, scope_name text, test_name text)
returns setof ingest.ownership
language sql stable
as $$
    select *
    from ingest.ownership as rules
    where
        (rules.system is null or rules.system = owner_of.system)
        and (
            rules.scope_pattern is null
            or owner_of.scope_id ilike rules.scope_pattern
            or owner_of.scope_name ilike rules.scope_pattern
        )
        and (rules.test_pattern is null or owner_of.test_name ilike rules.test_pattern)
    order by rules.line
    limit 1
$$;
comment on function ingest.owner_of is 'The line of ingest.ownership that counts; none: no owner.';
