"""The metrics of a gateway."""

from prometheus_client.parser import text_string_to_metric_families

from tests.kit.gateway import Gateway


async def scrape(gateway: Gateway) -> dict[str, float]:
    """Every sample under its name and labels, as Prometheus would store it."""
    async with gateway.http() as http:
        response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {
        sample.name.removeprefix("sightline_")
        + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
