-- The first total counts, and no longer the lowest: a list whose totals shrank with what it left
-- out seemed to be whole.

comment on column ingest.walks.announced_total is
'Total of runs that the list announced first; null: none announced.';
