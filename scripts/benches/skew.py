"""Skewed logs ÷ logs of the same volume without skew: raw files to windows and interactions.

``product``: a fifth of all events are of one product. ``bot``: half of all events are by one user, more on each day
than a person can do, and go to quarantine. ``user``: an eighth of them are by one user who stays within the limit.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_logs  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    bench_logs.options(parser, events=10_000_000)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    events = given.events
    logs = {
        "even": (events, {}),
        "product": (events, {"hot_product": 0.2}),
        "bot": (events // 2, {"hot_user": events // 2}),
        "user": (events - events // 8, {"hot_user": events // 8}),
    }
    ran: dict[str, bench_logs.Built] = {}
    with tempfile.TemporaryDirectory() as temporary:
        where = given.folder or Path(temporary)
        for name, (number, skew) in logs.items():
            log = bench_logs.generated(where, given, number, **skew)
            with bench_logs.session_of(log, where / "lake", given) as (settings, _):
                ran[name] = bench_logs.built(settings)
            bench_logs.require_exact(log, ran[name].ingest)
    even = ran["even"]
    ratios = {name: one.seconds / even.seconds for name, one in ran.items()}
    for name, one in ran.items():
        print(f"{name}: {one.seconds:.1f} s, {ratios[name]:.2f} ×, the JVM's peak {one.peak_mb:,.0f} MB")
        worst = sorted(one.parts(), key=lambda part: even.part(part) - one.part(part))[:3]
        if name != "even":
            print(
                "  most above: " + ", ".join(f"{part} {even.part(part):.1f} → {one.part(part):.1f} s" for part in worst)
            )
    print(json.dumps({"bench": "skew", "ratios": ratios, **{name: one.document() for name, one in ran.items()}}))


if __name__ == "__main__":
    main()
