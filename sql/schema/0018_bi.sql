-- The schema that dashboards read. What the BI role reads is this and the marts (sql/reader.sql);
-- what it could read before is taken back.

create schema if not exists bi;

do $$
declare
    closed text;
begin
    if exists (select from pg_roles where rolname = 'testruns_reader') then
        for closed in
            select quote_ident(nspname) from pg_namespace where nspname ~ '^(ingest|raw_.+|staging)$'
        loop
            execute format('revoke usage on schema %s from testruns_reader', closed);
            execute format('revoke select on all tables in schema %s from testruns_reader', closed);
            execute format(
                'alter default privileges in schema %s '
                'revoke select on tables from testruns_reader',
                closed
            );
        end loop;
    end if;
end
$$;
