"""`GET /metrics`: the counters in Prometheus' text format."""

from collections.abc import Iterator
from itertools import accumulate

from litestar import Response, get
from litestar.di import NamedDependency

from ..channels.backend import ChannelBackend
from ..channels.bus import EventBus
from ..channels.publisher import EventPublisher
from ..errors import UnavailableError
from ..journal.journal import Journal
from ..metrics import LATENCY_BOUNDS_S, Histogram
from ..ws.registry import ConnectionRegistry

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.exposition import CONTENT_TYPE_LATEST
    from prometheus_client.registry import Collector
except ImportError:  # the extra is not installed: see `metrics` below
    Collector = object  # type: ignore[assignment,misc]


class _Gateway(Collector):
    """Reads the counters at each scrape."""

    def __init__(
        self,
        bus: EventBus,
        registry: ConnectionRegistry,
        publisher: EventPublisher,
        backend: ChannelBackend,
        journal: Journal | None,
    ) -> None:
        self._journal = journal
        self._backend = backend
        self._bus = bus
        self._registry = registry
        self._publisher = publisher

    def collect(self) -> Iterator["Metric"]:
        counters = self._bus.counters
        taken, most = self._registry.taken, self._registry.max_clients
        yield GaugeMetricFamily("sightline_connections", "Places taken.", taken)
        yield GaugeMetricFamily("sightline_places_free", "Places left.", most - taken)
        yield GaugeMetricFamily("sightline_sequence_number", "The head.", self._bus.head)
        yield GaugeMetricFamily(
            "sightline_queued_events",
            "Events queued for clients that are behind.",
            self._bus.queued,
        )
        status = self._backend.status
        for name, what, level in (
            ("connected", "Whether the channel backend is reachable.", float(status.connected)),
            ("lag_events", "Events in the backend that this gateway has not read yet.", status.lag),
            ("waiting_publishes", "Publishes not yet sent to the backend.", status.waiting),
            ("in_flight_publishes", "Publishes not yet finished.", status.in_flight),
        ):
            yield GaugeMetricFamily(f"sightline_backend_{name}", what, level)
        blind = GaugeMetricFamily(
            "sightline_workspace_blind", "Folders that cannot be watched.", labels=["reason"]
        )
        for reason, count in counters.blind.items():
            blind.add_metric([reason], count)
        yield blind
        for name, what, label, counts in (
            ("published", "Events published.", "namespace", counters.published),
            ("dropped", "Events lost to a client, where known.", "reason", counters.dropped),
            ("gaps", "Gaps reported.", "reason", counters.gaps),
            ("evictions", "Connections closed by the gateway.", "reason", counters.evictions),
            ("refusals", "Requests refused.", "status", counters.refusals),
            (
                "webhooks_delivered",
                "Webhooks accepted by an endpoint.",
                "endpoint",
                counters.webhooks_delivered,
            ),
            (
                "webhooks_failed",
                "Webhooks given up after all attempts.",
                "endpoint",
                counters.webhooks_failed,
            ),
            (
                "webhooks_dropped",
                "Webhooks dropped untried.",
                "endpoint",
                counters.webhooks_dropped,
            ),
        ):
            family = CounterMetricFamily(f"sightline_{name}", what, labels=[label])
            for key, count in counts.items():
                family.add_metric([key], count)
            yield family
        for name, what, count in (
            ("delivered", "Events handed to clients.", counters.delivered),
            ("replayed", "Events replayed to clients that reconnected.", counters.replayed),
            ("backend_outages", "Times that the backend became unreachable.", status.outages),
            ("backend_unknown", "Publishes with an unknown outcome.", status.unknown),
            (
                "emit_failures",
                "Events that `emit` could not publish.",
                self._publisher.emit_failures,
            ),
        ):
            yield CounterMetricFamily(f"sightline_{name}", what, count)
        if self._journal is not None:
            journal = self._journal.status
            for name, what, level in (
                (
                    "storing",
                    "Whether the journal can be written.",
                    float(not self._journal.failing),
                ),
                ("behind_events", "Published events not yet on disk.", journal.behind),
                ("bytes", "The size of the journal on disk.", journal.bytes),
            ):
                yield GaugeMetricFamily(f"sightline_journal_{name}", what, level)
            yield CounterMetricFamily(
                "sightline_journal_lost", "Events that could not be stored.", journal.lost
            )
        yield _histogram(
            "publish_to_write",
            "From the oldest event of a turn to its writes.",
            counters.publish_to_write,
        )
        yield _histogram("loop_lag", "Delay of timers on the event loop.", counters.loop_lag)


def _histogram(name: str, what: str, histogram: Histogram) -> "Metric":
    bounds = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.buckets), strict=True))
    return HistogramMetricFamily(f"sightline_{name}_seconds", what, buckets, histogram.total_s)


@get("/metrics", opt={"scope": "admin"})
async def metrics(
    bus: NamedDependency[EventBus],
    registry: NamedDependency[ConnectionRegistry],
    publisher: NamedDependency[EventPublisher],
    backend: NamedDependency[ChannelBackend],
    journal: NamedDependency[Journal | None],
) -> Response[bytes]:
    """Return all counters and gauges."""
    if Collector is object:
        raise UnavailableError(
            "metrics need prometheus-client: pip install 'sightline-gateway[metrics]'"
        )
    collectors = CollectorRegistry()
    collectors.register(_Gateway(bus, registry, publisher, backend, journal))
    return Response(generate_latest(collectors), headers={"content-type": CONTENT_TYPE_LATEST})
