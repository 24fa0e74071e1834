-- Creates the database of one service and its two roles: the owner, which runs migrations, and the app role, which
-- serves requests.
--
-- This psql script is the only definition; embedded-postgres runs the same file:
--   psql -d postgres -v database=.. -v owner=.. -v owner_password=.. -v app=.. -v app_password=.. -f service-database.sql
-- Run it as a superuser. It is idempotent; running it again sets the passwords to the given ones.
--
-- Use only the syntax that embedded-postgres supports: statements that end a line with `;` or `\gexec`, whole-line
-- comments, `\set`, `\connect :"database"`, and the variables quoted as :"name" or :'name'.
\set ON_ERROR_STOP on

-- Concurrent runs would fail with "tuple concurrently updated". The lock is released when the connection closes.
SELECT pg_advisory_lock(7021648593301);

SELECT format('CREATE ROLE %I', :'owner')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'owner_password';

SELECT format('CREATE ROLE %I', :'app')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'app') \gexec
ALTER ROLE :"app" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app_password';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
ALTER DATABASE :"database" OWNER TO :"owner";

-- The services recognise some errors by their text because the database driver does not expose their SQLSTATE.
ALTER DATABASE :"database" SET lc_messages = 'C';

-- By default, PUBLIC may connect to every database and create temporary tables in it.
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"app";

\connect :"database"
SELECT pg_advisory_lock(7021648593301);

ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"app";

-- Only for future tables: grants on existing tables would, at the next run, restore privileges that a migration revoked
-- (the app role must not be able to change audit rows).
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"app";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE ON SEQUENCES TO :"app";
