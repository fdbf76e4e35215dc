-- What a replica may do, where the role `lumos_app` exists (roles.sql). Run after every migration, by who owns
-- the tables.
DO $$
DECLARE
  name TEXT;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lumos_app') THEN
    RETURN;
  END IF;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user
  LOOP
    EXECUTE format('REVOKE ALL ON TABLE %I FROM lumos_app', name);
    CASE name
      -- The record itself: added to and read.
      WHEN 'entries', 'kinds', 'commands' THEN
        EXECUTE format('GRANT SELECT, INSERT ON TABLE %I TO lumos_app', name);
      -- Derived from the entries, and checked against them.
      WHEN 'streams' THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE (version) ON TABLE %I TO lumos_app', name);
      WHEN 'head' THEN
        EXECUTE format('GRANT SELECT, UPDATE (size, frontier) ON TABLE %I TO lumos_app', name);
      -- Erasure deletes; nothing rewrites.
      WHEN 'sealed', 'blobs', 'blob_pieces' THEN
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON TABLE %I TO lumos_app', name);
      -- The marks of a rebuild come and go, and nothing is changed in place. The role could remove the version as well.
      WHEN 'meta' THEN
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON TABLE %I TO lumos_app', name);
      -- Projections and operational state.
      ELSE
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE %I TO lumos_app', name);
    END CASE;
  END LOOP;
END $$;
