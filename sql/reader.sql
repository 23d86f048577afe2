-- What the BI role may read: marts and the views over them, those that dbt will make too; and,
-- against accidents, how: without writing, for five minutes a query. It could lift these limits for
-- a session of its own, but gains no right by it.

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

do $$
declare
    setting text;
begin
    foreach setting in array array[
        'default_transaction_read_only = on',
        'statement_timeout = ''5min''',
        'idle_in_transaction_session_timeout = ''15min'''
    ]
    loop
        execute format(
            'alter role testruns_reader in database %I set %s', current_database(), setting
        );
    end loop;
exception
    when insufficient_privilege then
        null; -- an administrator made the role, and may set this
end
$$;
