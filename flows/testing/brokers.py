"""A real message broker for tests: a virtual host of one's own on the RabbitMQ of this machine."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from flows.runtime import broker

RABBITMQ_URL: Final = "amqp://guest:guest@127.0.0.1:5672"
CONTROL_TIMEOUT_S: Final = 30.0


@contextmanager
def rabbitmq(name: str) -> Iterator[str]:
    """URL of a virtual host ``name`` that lives as long as the block; the test is skipped when it cannot be had."""
    control = shutil.which("rabbitmqctl")
    if control is None:
        pytest.skip("no rabbitmqctl on this machine to create a virtual host with")
    try:
        for words in (("add_vhost", name), ("set_permissions", "-p", name, "guest", ".*", ".*", ".*")):
            subprocess.run([control, *words], capture_output=True, timeout=CONTROL_TIMEOUT_S, check=True)
    except subprocess.SubprocessError as error:
        pytest.skip(f"no RabbitMQ that {control} may manage: {error}")
    try:
        yield f"{RABBITMQ_URL}/{name}"
    finally:
        subprocess.run([control, "delete_vhost", name], capture_output=True, timeout=CONTROL_TIMEOUT_S, check=True)


def delete_queues(url: str, lanes: Iterable[str]) -> None:
    """Delete the queue of each lane, and every wake-up in it, under the consumers that listen to it."""
    made: Any = broker.build(url)
    for lane in lanes:
        made.channel.queue_delete(f"{broker.QUEUE_PREFIX}{lane}")
    made.close()
