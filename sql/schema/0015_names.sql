-- What the APIs give no names of, and where things are on the web.

create table ingest.names (
    line integer primary key,
    system text not null,
    kind text not null,
    id text not null,
    name text not null
);
comment on table ingest.names is
'The lines of TESTRUNS_NAMES_FILE as the last build read them; empty where none is set.';
comment on column ingest.names.line is
'Line of the file; of several lines for one ID, the one with the lowest number counts.';
comment on column ingest.names.system is 'The system: postman, testmo, reports.';
comment on column ingest.names.kind is 'What it is: scope (collection, project) or environment.';
comment on column ingest.names.id is 'Its ID in the system, as text.';
comment on column ingest.names.name is 'What people call it.';

create function ingest.name_of(system text, kind text, id text)
returns text
language sql stable
as $$
    select names.name
    from ingest.names as names
    where
        names.system = name_of.system
        and names.kind = name_of.kind
        and names.id = name_of.id
    order by names.line
    limit 1
$$;
comment on function ingest.name_of is 'The name of ingest.names that counts; null: none.';

create table ingest.addresses (
    system text primary key,
    api_url text not null
);
comment on table ingest.addresses is
'Where the APIs are, as the settings of the last build with their keys said.';
comment on column ingest.addresses.system is 'The system: postman, testmo.';
comment on column ingest.addresses.api_url is 'The root of its API; the marts make links of it.';
