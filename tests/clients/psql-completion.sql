-- What psql asks when the tab key is pressed after `select * from `, `\d `, `set ` and `show `.
-- Client's source (PostgreSQL licence): postgres/postgres, src/bin/psql/tab-complete.c, psql 15.
----
SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p') AND (c.relname) LIKE 'kpi%' AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog') AND pg_catalog.pg_table_is_visible(c.oid) LIMIT 1000
----
SELECT n.nspname, NULL::pg_catalog.text FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'pu%' LIMIT 1000
----
SELECT a.attname FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attname) LIKE 'win%' AND (c.relname) = 'kpis' AND pg_catalog.pg_table_is_visible(c.oid) LIMIT 1000
----
SELECT pg_catalog.lower(name) FROM pg_catalog.pg_settings WHERE pg_catalog.lower(name) LIKE pg_catalog.lower('st%') LIMIT 1000
----
SELECT d.datname, NULL::pg_catalog.text FROM pg_catalog.pg_database d WHERE d.datname LIKE 'sat%' LIMIT 1000
