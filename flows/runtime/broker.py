"""The only module that builds a dramatiq broker. It carries wake-ups, nothing else: PostgreSQL knows every run, so
a lost message costs one sweep and a doubled one an empty claim.

- no URL: dramatiq's in-memory broker. That is enough for production in one process, because nothing in it needs to
  survive: the runs do, in PostgreSQL.
- ``amqp://``, ``amqps://``: RabbitMQ. ``redis://``, ``rediss://``: Redis.

Each lane has its own queue. dramatiq's Retries are left out: the runner owns retrying. AgeLimit drops wake-ups so
old that the sweeper has repeated them. Nothing connects before the first message or worker.
"""

import logging
from collections.abc import Callable
from typing import Final

import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import QueueNotFound
from dramatiq.middleware import AgeLimit, Middleware

from canonical_model.errors import ConfigurationError, TransientError

MAX_AGE_MS: Final = 60_000
CONNECT_TIMEOUT_S: Final = 5
QUEUE_PREFIX: Final = "yipan."
STOP_TIMEOUT_MS: Final = 60_000


def build(url: str | None) -> dramatiq.Broker:
    """A broker for that URL, in memory without one. ConfigurationError: a URL of no known kind."""
    middleware: list[Middleware] = [AgeLimit(max_age=MAX_AGE_MS)]
    if url is None:
        return StubBroker(middleware=middleware)
    scheme = url.partition("://")[0]
    if scheme in ("amqp", "amqps"):
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        logging.getLogger("pika").setLevel(logging.CRITICAL)
        return RabbitmqBroker(url=url, middleware=middleware, confirm_delivery=True)
    if scheme in ("redis", "rediss"):
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(  # type: ignore[no-untyped-call]
            url=url, middleware=middleware, socket_connect_timeout=CONNECT_TIMEOUT_S
        )
    raise ConfigurationError(
        "the broker URL must begin with amqp://, amqps://, redis:// or rediss://; correct YIPAN_BROKER_URL",
        key="YIPAN_BROKER_URL",
    )


class Wakes:
    """Sends wake-ups to lanes, and lets threads of this process work on those that arrive."""

    def __init__(self, url: str | None, work: Callable[[str], None]) -> None:
        self.shared = url is not None
        self._broker = build(url)
        self._broker.logger.addFilter(_is_news)
        self._actor = actor(self._broker, work)
        self._workers: list[dramatiq.Worker] = []

    def send(self, lane: str) -> None:
        """Wake ``lane``. TransientError: the broker is away. A lane that nobody here serves is not woken."""
        try:
            self._broker.enqueue(self._actor.message(lane).copy(queue_name=_queue(lane)))
        except QueueNotFound:
            return
        except Exception as error:
            raise TransientError(f"the broker is not answering ({type(error).__name__})", code="broker.away") from error

    def serve(self, lanes: list[str], threads: int) -> None:
        """Start ``threads`` threads that share these lanes."""
        queues = {_queue(lane) for lane in lanes}
        for queue in queues:
            self._broker.declare_queue(queue)
        worker = dramatiq.Worker(self._broker, queues=queues, worker_threads=threads)
        worker.start()
        self._workers.append(worker)

    def stop(self) -> None:
        """End the threads after their present work, and close every connection."""
        for worker in self._workers:
            for thread in worker.workers:
                thread.stop()
        for worker in self._workers:
            worker.stop(timeout=STOP_TIMEOUT_MS)
        self._workers.clear()
        self._broker.close()


def actor(broker: dramatiq.Broker, work: Callable[[str], None]) -> dramatiq.Actor[[str], None]:
    """The one actor: does ``work`` on the lane that was woken."""
    return dramatiq.Actor(
        work, broker=broker, actor_name="wake", queue_name=f"{QUEUE_PREFIX}wake", priority=0, options={}
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to log it: dramatiq warns of a second worker on one broker, and each lane has its own on purpose."""
    return "middleware of the same type twice" not in record.msg


def _queue(lane: str) -> str:
    return f"{QUEUE_PREFIX}{lane}"
