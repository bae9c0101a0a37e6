"""The peer: the library `eventsourcing` on the same PostgreSQL, in its best setting. Runs in an environment of its own.

Reads questions as lines of JSON from its input and answers each with one. Its events are serialised by orjson, as ours are; its
aggregates are kept in memory, as our states are. `tune` tries its settings (functions in the database, size of the pool) and
keeps the fastest.
"""
# mypy: ignore-errors

import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import orjson
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Transcoder
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

LENGTH = 20  # events of a stream, as in bench/facts.py
POOLS = (1, 4, 16, 64)


class Orjson(Transcoder):
    """Times come back as such; other values are JSON's own."""

    def encode(self, obj):
        return orjson.dumps(obj)

    def decode(self, data):
        state = orjson.loads(data)
        if "timestamp" in state:
            state["timestamp"] = datetime.fromisoformat(state["timestamp"])
        return state


class Deal(Aggregate):
    @event("Opened")
    def __init__(self):
        self.amount = 0

    @event("AmountRaised")
    def raise_amount(self, amount, former):
        self.amount = amount["minor"]


class Deals(Application):
    def construct_transcoder(self):
        return Orjson()

    def register_transcodings(self, transcoder):
        """Nothing beyond JSON is in our events."""


@dataclass
class Setting:
    functions: bool
    pool: int

    @property
    def environment(self):
        return {
            "POSTGRES_ENABLE_DB_FUNCTIONS": "y" if self.functions else "n",
            "POSTGRES_POOL_SIZE": str(self.pool),
            "POSTGRES_MAX_OVERFLOW": "0",
            "POSTGRES_CONNECT_TIMEOUT": "60",
            "AGGREGATE_CACHE_MAXSIZE": "10000",
            "AGGREGATE_CACHE_FASTFORWARD": "n",
            "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
        }


def money(minor):
    return {"minor": minor, "currency": "CNY"}


MADE = 100  # events a second that are made for each caller beforehand: more than it gets rid of


def made(count):
    """Events for the event store, so many, to streams of twenty."""
    found, stream, at = [], None, Deal.AmountRaised.create_timestamp()
    for number in range(count):
        version = number % LENGTH
        if version == 0:
            stream = uuid4()
        found.append(
            Deal.AmountRaised(
                originator_id=stream,
                originator_version=version + 1,
                timestamp=at,
                amount=money(number + 1_000),
                former=money(number),
            )
        )
    return found


class Appending:
    """One event a call, straight into the event store; events are made before the clock runs."""

    def __init__(self, app, seconds):
        self.app, self.events = app, made(int(MADE * seconds) + 20)

    def run(self, until):
        for done, one in enumerate(self.events):
            if time.perf_counter() >= until:
                return done
            self.app.events.put([one])
        raise RuntimeError("the events were used up: MADE is too small")


class Commanding:
    """One command a call: get the aggregate, change it, save it."""

    def __init__(self, app, seconds):
        self.app = app

    def run(self, until):
        done, version, entity = 0, LENGTH, None
        while time.perf_counter() < until:
            if version >= LENGTH:
                deal = Deal()
                entity, version = deal.id, 0
            else:
                deal = self.app.repository.get(entity)
                deal.raise_amount(money(done + 1_000), money(done))
            self.app.save(deal)
            version += 1
            done += 1
        return done


def load(app, work, callers, seconds):
    """Events a second from so many threads."""
    counts = [0] * callers
    works = [work(app, seconds) for _ in range(callers)]
    began = time.perf_counter()

    def run(number):
        counts[number] = works[number].run(began + seconds)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def batch(app, size, times):
    """Events a second, so many at once."""
    batches = [made(size) for _ in range(times)]
    began = time.perf_counter()
    for events in batches:
        app.events.put(events)
    return size * times / (time.perf_counter() - began)


class Tally(PostgresTrackingRecorder):
    """A row a deal: how many events it has had, and its amount. Row and tracking in one transaction, as the library has it."""

    def __init__(self, datastore, **names):
        super().__init__(datastore, **names)
        self.name = Identifier(self.datastore.schema), Identifier("tally")
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {0}.{1} (opportunity_id uuid PRIMARY KEY, events integer NOT NULL, "
                "amount_minor bigint, currency varchar(3), updated_at timestamptz NOT NULL)"
            ).format(*self.name)
        )
        self.upsert = SQL(
            "INSERT INTO {0}.{1} AS t VALUES (%s, 1, %s, %s, %s) ON CONFLICT (opportunity_id) DO UPDATE SET "
            "events = t.events + 1, amount_minor = excluded.amount_minor, currency = excluded.currency, "
            "updated_at = excluded.updated_at"
        ).format(*self.name)

    def count(self, entity, amount, at, tracking):
        with (
            self.datastore.get_connection() as connection,
            connection.pipeline(),
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            cursor.execute(self.upsert, (entity, amount["minor"], amount["currency"], at), prepare=True)
            self._insert_tracking(cursor, tracking)

    def forget(self):
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(SQL("TRUNCATE {0}.{1}").format(*self.name))
            cursor.execute(
                SQL("DELETE FROM {0}.{1} WHERE application_name = %s").format(
                    Identifier(self.datastore.schema), Identifier(self.tracking_table_name)
                ),
                (Deals.name,),
            )


class Tallying(Projection[Tally]):
    name = "tally"

    def process_event(self, domain_event, tracking):
        self.view.count(domain_event.originator_id, domain_event.amount, domain_event.timestamp, tracking)


def project(app, setting):
    """Events a second that the library's runner takes of all that the store has."""
    last = app.recorder.max_notification_id()
    environment = setting.environment | {"POSTGRES_POOL_SIZE": "4"}
    began = time.perf_counter()
    with ProjectionRunner(
        application_class=Deals, projection_class=Tallying, view_class=Tally, env=environment
    ) as runner:
        began = time.perf_counter()
        runner.wait(last, timeout=600)
        seconds = time.perf_counter() - began
        runner.view.forget()
    return last / seconds


class Peer:
    def __init__(self):
        self.setting = Setting(functions=False, pool=4)
        self.app = Deals(env=os.environ | self.setting.environment)

    def use(self, setting):
        self.app.close()
        self.setting = setting
        self.app = Deals(env=os.environ | setting.environment)

    def tune(self, callers, seconds, work):
        found = []
        for functions in (False, True):
            for pool in POOLS:
                setting = Setting(functions, pool)
                self.use(setting)
                load(self.app, WORK[work], callers, seconds / 4)
                found.append((load(self.app, WORK[work], callers, seconds), setting))
        best = max(found, key=lambda one: one[0])[1]
        self.use(best)
        how = "functions in the database" if best.functions else "table lock"
        return {"setting": f"{how}, {best.pool} connections", "tried": [round(one[0]) for one in found]}

    def answer(self, question):
        match question:
            case {"do": "tune", "callers": callers, "seconds": seconds, "work": work}:
                return self.tune(callers, seconds, work)
            case {"do": "load", "callers": callers, "seconds": seconds, "work": work}:
                return {"rate": load(self.app, WORK[work], callers, seconds)}
            case {"do": "batch", "size": size, "times": times}:
                return {"rate": batch(self.app, size, times)}
            case {"do": "project"}:
                return {"rate": project(self.app, self.setting)}
        raise ValueError(f"no such question: {question}")


WORK = {"append": Appending, "command": Commanding}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    peer = Peer()
    try:
        for line in sys.stdin:
            print(json.dumps(peer.answer(json.loads(line))), file=answers, flush=True)
    finally:
        peer.app.close()


if __name__ == "__main__":
    main()
