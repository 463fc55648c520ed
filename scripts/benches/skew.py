"""Skewed logs ÷ logs of the same volume without skew: raw files to windows and interactions.

``product``: a fifth of all events are of one product. ``bot``: half of all events are by one user, more on each day
than a person can do, and go to quarantine. ``user``: an eighth of them are by one user who stays within the limit.
The log without skew is built twice, first and last; the faster one counts, because the first also compiles.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))

import bench_logs  # noqa: E402

from shelfcast.generate.world import BOT_LIMIT  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    bench_logs.options(parser, events=10_000_000)
    given = parser.parse_args()
    fewest = 2 * 7 * given.weeks * (BOT_LIMIT + 1)
    if given.events < fewest:
        parser.error(f"--events must be at least {fewest:,}: the bot would do no more on a day than a person can do")
    if given.events // 8 > 7 * given.weeks * BOT_LIMIT:
        parser.error(f"--events must be at most {8 * 7 * given.weeks * BOT_LIMIT:,}: every hot user would be a bot")
    return given


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
        for name in (*logs, "even"):
            number, skew = logs[name]
            log = bench_logs.generated(where, given, number, **skew)
            with bench_logs.session_of(log, where / "lake", given) as (settings, _):
                one = bench_logs.built(settings)
            bench_logs.require_exact(log, one.ingest)
            if name not in ran or one.seconds < ran[name].seconds:
                ran[name] = one
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
