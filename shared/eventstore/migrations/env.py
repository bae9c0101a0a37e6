"""Alembic's entry: run the migrations on the connection that `migrate_store` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, version_table="migration", version_table_schema="store", transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
