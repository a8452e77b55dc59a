"""The readers under a coverage-guided fuzzer: `make fuzz SECONDS=600`. See `laws` for what must hold.

What it finds interesting it keeps in a folder of its own; what is kept for good is in `corpus/`, and every test run
replays it (`test_laws.py`). A finding ends it with the bytes in `crash-…`: put them into the corpus with the fix.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sidecar.wire"]):
    from tests.wire.laws import check

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    options = argparse.ArgumentParser(description="Fuzz the readers of requests and responses.")
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--keep", type=Path, help="a folder for what is found interesting [default: thrown away]")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = given.keep or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        flags = [f"-max_total_time={given.seconds}", "-max_len=4096", "-timeout=5", "-print_final_stats=1"]
        flags += [f"-dict={CORPUS.parent / 'fuzz.dict'}", "-rss_limit_mb=1024"]
        atheris.Setup([sys.argv[0], *flags, str(kept), str(CORPUS)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
