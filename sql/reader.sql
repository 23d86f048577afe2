-- What the BI role may read: all that is there, and all that loads and dbt will make.

do $$
declare
    schemas text := (
        select string_agg(quote_ident(nspname), ', ') from pg_namespace
        where nspname ~ '^(ingest|raw_.+|staging|marts)$'
    );
begin
    execute format('grant usage on schema %s to testruns_reader', schemas);
    execute format('grant select on all tables in schema %s to testruns_reader', schemas);
    execute format(
        'alter default privileges in schema %s grant select on tables to testruns_reader', schemas
    );
end
$$;
