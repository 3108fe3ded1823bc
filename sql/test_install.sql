-- What CREATE EXTENSION makes: objects, comments, rights.
\set VERBOSITY terse
CREATE EXTENSION automation;
-- Everything people meet has a comment.
SELECT p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid) AS arguments
  FROM pg_proc p
 WHERE p.pronamespace = 'automation'::regnamespace
   AND obj_description(p.oid, 'pg_proc') IS NULL
 ORDER BY 1, 2;
SELECT c.relname
  FROM pg_class c
 WHERE c.relnamespace = 'automation'::regnamespace
   AND c.relkind IN ('r', 'p', 'v')
   AND obj_description(c.oid, 'pg_class') IS NULL
 ORDER BY 1;
-- Functions and views.
SELECT p.proname,
       p.prokind,
       p.provolatile,
       p.proisstrict,
       p.proparallel,
       p.prosecdef
  FROM pg_proc p
 WHERE p.pronamespace = 'automation'::regnamespace
 ORDER BY 1;
SELECT c.relname, c.relkind, c.relrowsecurity
  FROM pg_class c
 WHERE c.relnamespace = 'automation'::regnamespace
   AND c.relkind IN ('r', 'p', 'v')
 ORDER BY 2, 1;
-- PUBLIC has nothing.
SELECT p.proname
  FROM pg_proc p, aclexplode(p.proacl) a
 WHERE p.pronamespace = 'automation'::regnamespace
   AND a.grantee = 0
 ORDER BY 1;
SELECT p.proname
  FROM pg_proc p
 WHERE p.pronamespace = 'automation'::regnamespace
   AND p.proacl IS NULL
 ORDER BY 1;
SELECT c.relname
  FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'automation'::regnamespace
   AND a.grantee = 0
 ORDER BY 1;
-- Nobody may put a trigger or a reference on our tables, or write them.
SELECT c.relname, a.grantee::regrole, a.privilege_type
  FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'automation'::regnamespace
   AND c.relkind IN ('r', 'p')
   AND a.grantee <> c.relowner
 ORDER BY 1, 2, 3;
-- The roles are there, without login and without members.
SELECT r.rolname, r.rolcanlogin, r.rolsuper, (SELECT count(*) FROM pg_auth_members m WHERE m.roleid = r.oid) AS members
  FROM pg_roles r
 WHERE r.rolname LIKE 'automation\_%'
 ORDER BY 1;
-- What goes into a dump.
SELECT e.relation::regclass::text AS dumped
  FROM pg_extension x, unnest(x.extconfig) AS e(relation)
 WHERE x.extname = 'automation'
 ORDER BY 1;
-- Settings: none needs a restart, secrets are for superusers.
SELECT name, context, vartype
  FROM pg_settings
 WHERE name LIKE 'automation.%'
 ORDER BY 1;
SET automation.no_such_setting = 1;
SET automation.listen = 'nonsense';
-- The worker runs.
SELECT item, ok FROM automation.doctor() WHERE item IN ('library', 'marker role', 'agent server') ORDER BY 1;
