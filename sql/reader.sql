-- What the BI role may read: marts and the views over them, those that dbt will make too.

do $$
declare
    schemas text := (
        select string_agg(quote_ident(nspname), ', ') from pg_namespace
        where nspname ~ '^(marts|bi)$'
    );
begin
    execute format('grant usage on schema %s to testruns_reader', schemas);
    execute format('grant select on all tables in schema %s to testruns_reader', schemas);
    execute format(
        'alter default privileges in schema %s grant select on tables to testruns_reader', schemas
    );
end
$$;
