-- One service's database and its two roles: the owner, who migrates, and the app role, who serves.
--
-- This is the only place where it is written. It is a psql script; embedded-postgres runs the same file itself:
--   psql -d postgres -v database=.. -v owner=.. -v owner_password=.. -v app=.. -v app_password=.. -f service-database.sql
-- Run it as a superuser. Running it again is harmless, and sets the passwords to the ones given.
--
-- Only what embedded-postgres understands may be used here: statements that end a line with `;` or `\gexec`,
-- whole-line comments, `\set`, `\connect :"database"`, and the variables quoted as :"name" or :'name'.
\set ON_ERROR_STOP on

-- Two runs at once would fail with "tuple concurrently updated"; the lock ends with the connection.
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

-- The services recognise some errors by their text, because the database driver does not pass their SQLSTATE on.
ALTER DATABASE :"database" SET lc_messages = 'C';

-- PUBLIC may connect to every database, and make temporary tables in it, until told otherwise.
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"app";

\connect :"database"
SELECT pg_advisory_lock(7021648593301);

ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"app";

-- Only for tables yet to be made: granting on existing ones would, at the next run, give back what a migration
-- took away on purpose (audit rows cannot be changed by the app role).
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"app";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE ON SEQUENCES TO :"app";
