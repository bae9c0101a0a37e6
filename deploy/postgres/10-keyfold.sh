#!/usr/bin/env bash
# A role and a database for each service, and the operator's role. The image runs it when the cluster is made; run it again
# after a service was added or a password changed:  docker compose exec postgres bash /docker-entrypoint-initdb.d/10-keyfold.sh
# Each service gets into its own database only. DATABASE_PASSWORD_<SERVICE> and DATABASE_PASSWORD_OPERATOR hold the passwords.
set -Eeuo pipefail

SERVICES="account opportunity"
OPERATOR=keyfold_operator

ask() {
  psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres "$@"
}

password_of() {  # of a service, or of the operator
  local variable="DATABASE_PASSWORD_${1^^}"
  printf '%s' "${!variable:?is not set}"
}

role() {  # name, password
  # psql alone quotes what it was given; it goes through the environment, where the list of processes does not show it.
  SECRET="$2" ask -v name="$1" <<'SQL'
\getenv secret SECRET
SELECT format('CREATE ROLE %I LOGIN', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'secret';
SQL
}

role "$OPERATOR" "$(password_of operator)"
# The locale is C, as in the embedded form: lists have one order everywhere, and no upgrade of the system unsorts an index.
for service in $SERVICES; do
  role "keyfold_$service" "$(password_of "$service")"
  ask -v name="keyfold_$service" -v operator="$OPERATOR" <<'SQL'
SELECT format('CREATE DATABASE %I OWNER %I ENCODING ''UTF8'' LOCALE ''C'' TEMPLATE template0', :'name', :'name')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
GRANT :"name" TO :"operator";
-- what the operator makes there belongs to the service
ALTER ROLE :"operator" IN DATABASE :"name" SET role = :"name";
SQL
done
ask <<'SQL'
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
SQL
echo "Keyfold: roles and databases for $SERVICES are there."
