"""Which log: the address decides."""

from urllib.parse import urlsplit

from shared.log.port import Log


def open_log(url: str) -> Log:
    """`kafka://host:port[,host:port]` or `postgresql://…/keyfold_log`. Connects when first used. Raises ValueError."""
    scheme = urlsplit(url).scheme
    if scheme == "kafka":
        from shared.log.kafka import KafkaLog

        bootstrap = url.removeprefix("kafka://").rstrip("/")
        if not bootstrap or "@" in bootstrap or "/" in bootstrap:
            raise ValueError("the address of a Kafka log is kafka://host:port[,host:port]")
        return KafkaLog(bootstrap)
    if scheme in {"postgresql", "postgres"}:
        from shared.log.postgres import PostgresLog

        return PostgresLog(url)
    raise ValueError(f"a log's address begins with kafka:// or postgresql://, not {scheme or 'nothing'}://")
