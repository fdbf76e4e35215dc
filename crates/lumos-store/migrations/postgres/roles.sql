-- Run once by an administrator of the database server, before the first start. `lumos_owner` owns the tables and
-- changes them; `lumos_app` is what every replica may do: it adds to the ledger and reads it, and can neither
-- change nor remove an entry. Give each a login of its own:
--
--   CREATE ROLE lumos_migrate LOGIN PASSWORD '…' IN ROLE lumos_owner;
--   CREATE ROLE lumos_replica LOGIN PASSWORD '…' IN ROLE lumos_app;
--   CREATE DATABASE lumos OWNER lumos_owner ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0;
--
-- and then, in that database, what stands below. The rights to each table come with the migrations (grants.sql).
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lumos_owner') THEN
    CREATE ROLE lumos_owner NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lumos_app') THEN
    CREATE ROLE lumos_app NOLOGIN;
  END IF;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO lumos_owner;
GRANT USAGE ON SCHEMA public TO lumos_app;
