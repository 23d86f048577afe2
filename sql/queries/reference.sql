-- Owners, names and addresses. One block a query, found by its name.

-- name: delete_ownership
delete from ingest.ownership;

-- name: insert_ownership
insert into ingest.ownership (line, system, scope_pattern, test_pattern, owner, channel)
values (
    %(line)s, %(system)s, %(scope_pattern)s, %(test_pattern)s, %(owner)s, %(channel)s
);

-- name: delete_names
delete from ingest.names;

-- name: insert_names
insert into ingest.names (line, system, kind, id, name)
values (%(line)s, %(system)s, %(kind)s, %(id)s, %(name)s);

-- name: save_address
insert into ingest.addresses (system, api_url)
values (%(system)s, %(api_url)s)
on conflict (system) do update set api_url = excluded.api_url;

-- name: owners_of_scopes
-- Of these scopes of a source those that have an owner, and where the owner wants to be notified.
-- It needs no mart: an alert may name a scope of which nothing was ever loaded.
with names as (
    select distinct on (collection_id)
        collection_id,
        extra ->> 'collectionName' as collection_name
    from raw_postman.collection_runs
    where
        %(source)s = 'postman'
        and collection_id = any(%(scopes)s::text[])
        and extra ->> 'collectionName' <> ''
    order by collection_id asc, started_at desc nulls last
)

select
    scopes.scope,
    owners.owner,
    owners.channel
from unnest(%(scopes)s::text[]) as scopes (scope)
left join names on scopes.scope = names.collection_id
cross join
    lateral ingest.owner_of(
        %(source)s::text, -- noqa: RF02
        scopes.scope,
        coalesce(
            ingest.name_of(%(source)s::text, 'scope', scopes.scope), -- noqa: RF02
            names.collection_name
        ),
        null
    ) as owners;
