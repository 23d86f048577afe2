-- What the BI role may read: all that is there, and all that loads and dbt will make.

grant usage on schema ingest, raw_postman, raw_testmo, raw_reports, staging, marts
to testruns_reader;
grant select on all tables in schema ingest, raw_postman, raw_testmo, raw_reports, staging, marts
to testruns_reader;
alter default privileges in schema ingest, raw_postman, raw_testmo, raw_reports, staging, marts
grant select on tables to testruns_reader;
