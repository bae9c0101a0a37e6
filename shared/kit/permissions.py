"""The words in which somebody is allowed something: roles, and the scopes that narrow what an API key may do with them."""

ROLES = ("seller", "manager", "executive", "finance", "operations", "integration")
KEY_KEEPERS = ("operations", "executive")  # who sees to API keys
SERVICES = ("account", "opportunity")  # held to the catalogue by a test
READ, WRITE = "read", "write"
SCOPES = tuple(f"{service}:{access}" for service in SERVICES for access in (READ, WRITE))
READING = ("GET", "HEAD")


def scope_for(service: str, method: str) -> str:
    """What a request needs. A dry run and a question that is asked by POST are writing too: the method alone decides, so that
    nobody has to know the routes to know what a key can do."""
    return f"{service}:{READ if method in READING else WRITE}"
