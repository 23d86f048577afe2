-- A view changes with the project and not with the data: a build leaves out those that stand.

alter table ingest.builds add column views text;
comment on column ingest.builds.views is
'Changes with the views as the build left them, with the dbt project and the zone of the business '
'day; null: not known.';
