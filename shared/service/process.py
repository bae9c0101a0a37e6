"""What every process of Keyfold does: end in order when it is asked to, and be known by a name of its own."""

import asyncio
import os
import signal
import socket
import uuid


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGINT and SIGTERM end the process in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def worker_id() -> str:
    """Unique among living workers, and tells an operator where it runs."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:6]}"
