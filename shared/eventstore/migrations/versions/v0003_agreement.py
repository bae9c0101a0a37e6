"""Which run of which server has been seen to agree with the log; and commands by the events that they led to."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
-- One row: `incarnation` names the server's run and the tables that were compared with the log. A restored, failed-over or
-- restarted store has another one, and must be compared again before anything is appended.
CREATE TABLE store.agreement (
    one         boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    incarnation text        NOT NULL,
    agreed_at   timestamptz NOT NULL
)
""",
    """
INSERT INTO store.agreement (incarnation, agreed_at) VALUES ('none', '-infinity')
""",
    """
-- For the relay: the commands that may be given again, by their first event. A random id has no slash in it.
CREATE INDEX command_given ON store.command (first_position) WHERE first_position > 0 AND command_id LIKE '%/%'
""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
